from dataclasses import fields, replace

import numpy as np
import pytest

from catalog.facts import KnownAccount, PostFacts, Traits
from model.blocks.known import KNOWN, account_numbers, named_grams, sound_numbers, trait_numbers

ACCOUNT = KnownAccount(999, 99, 9, True, 0, "SE")


def named(block, facts):
    names, numbers = KNOWN[block]
    return dict(zip(names, numbers(facts), strict=True))


def test_an_account_is_its_numbers_as_logs_and_their_shares():
    found = named("account", PostFacts(account=ACCOUNT))
    assert found == pytest.approx(
        {
            "log_followers": np.log(1000),
            "log_following": np.log(100),
            "log_posts": np.log(10),
            "verified": 1.0,
            "log_bio_chars": 0.0,
            "log_followers_per_post": np.log(100),
            "log_followers_per_following": np.log(10),
        }
    )


def test_what_is_unknown_of_an_account_is_missing_and_so_is_what_follows_from_it():
    found = named("account", PostFacts(account=replace(ACCOUNT, n_posts=None, is_verified=None)))
    unknown = {name for name, value in found.items() if np.isnan(value)}
    assert unknown == {"log_posts", "log_followers_per_post", "verified"}
    assert account_numbers(PostFacts()) is None
    assert account_numbers(PostFacts(account=KnownAccount(region="SE"))) is None


def test_the_likes_of_an_account_have_no_way_in():
    assert not [field.name for field in fields(KnownAccount) if "like" in field.name]
    assert not [name for names, _ in KNOWN.values() for name in names if "like" in name]


def test_a_sound_is_its_use_and_whose_it_is():
    found = named("sound", PostFacts(sound=4, is_sound_original=False, n_sound_videos=99))
    assert found == pytest.approx({"log_videos": np.log(100), "is_original": 0, "has_sound": 1})
    assert np.isnan(sound_numbers(PostFacts(sound=4))[:2]).all()
    assert sound_numbers(PostFacts()) is None


def test_the_number_of_a_sound_is_no_size():
    one, other = (sound_numbers(PostFacts(sound=n, n_sound_videos=5)) for n in (4, 400))
    np.testing.assert_array_equal(one, other)


def test_traits_are_yes_no_or_unknown():
    found = named("traits", PostFacts(traits=Traits(is_ad=True, is_duet=False, n_mentions=3)))
    assert (found["is_ad"], found["is_duet"]) == (1, 0)
    assert np.isnan(found["is_stitch"])
    assert found["log_mentions"] == pytest.approx(np.log(4))
    assert trait_numbers(PostFacts()) is None
    assert trait_numbers(PostFacts(traits=Traits(language="sv"))) is None


def test_names_beside_the_words_keep_apart_what_they_name():
    facts = PostFacts(
        topics=("se",), traits=Traits(language="se", region="se"), account=ACCOUNT, sound=7
    )
    found = named_grams(facts)
    assert found == ["topic se", "language se", "region se", "home SE", "sound 7"]
    assert len(set(found)) == len(found)
    assert named_grams(PostFacts(traits=Traits(), account=KnownAccount())) == []
