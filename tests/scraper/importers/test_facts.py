import pytest
from hypothesis import given
from hypothesis import strategies as st

from catalog.facts import AccountFacts, Reactions, SoundFacts, Traits
from scraper.importers.facts import READ, read_facts, read_whole
from tests.scraper.importers.rows import actor_item, aweme, info, research_item


@pytest.mark.parametrize(
    ("value", "n"),
    [(5, 5), ("5", 5), (5.0, 5), ("1.2M", 1_200_000), ("12,345", 12_345), (0, 0), ("7.0", 7)],
)
def test_a_count_is_a_whole_number_however_it_is_written(value, n):
    assert read_whole(value) == n


@pytest.mark.parametrize("value", [-1, True, 1.5, "many", "1.2", [], {}, 10**13, float("inf")])
def test_what_is_no_count_is_not_zero(value):
    assert read_whole(value) is None


@given(st.sampled_from(sorted(READ)), st.text() | st.integers() | st.floats() | st.none())
def test_no_value_of_little_weight_costs_a_row(name, value):
    READ[name](value)


def test_each_value_is_told_to_who_counts_them():
    told = []
    values = {"n_likes": "5", "n_shares": "many", "n_saves": None, "n_comments": ""}

    found = read_facts(Reactions, values, lambda *given: told.append(given))

    assert found == Reactions(n_likes=5)
    assert told == [
        ("n_likes", "5", True),
        ("n_shares", "many", False),
        ("n_saves", None, False),
        ("n_comments", None, False),
    ]


def test_nothing_said_is_no_record():
    assert read_facts(Reactions, {"n_likes": None}) is None
    assert read_facts(Traits, {}) is None


def test_a_sound_without_an_id_is_none():
    assert read_facts(SoundFacts, {"title": "A song"}) is None
    assert read_facts(SoundFacts, {"platform_id": "0", "title": "A song"}) is None
    assert read_facts(SoundFacts, {"platform_id": 7_000_000_000_000_000_000}) is None  # rounded
    assert read_facts(SoundFacts, {"platform_id": 6_900_000_000_000_000_001}) == SoundFacts(
        platform_id="6900000000000000001"
    )


def test_whose_original_sound_it_is_is_not_kept():
    song = {"platform_id": "1", "title": "A song", "author": "A band", "is_original": False}
    own = {"platform_id": "2", "title": "x", "author": "A person", "is_original": True}
    named = {"platform_id": "3", "title": "original sound - person", "author": "A person"}

    assert read_facts(SoundFacts, song).author == "A band"
    assert read_facts(SoundFacts, own).author is None
    found = read_facts(SoundFacts, named)
    assert (found.author, found.is_original) == (None, True)


def test_zeros_in_place_of_an_accounts_counts_are_not_taken():
    zeros = {"n_followers": 0, "n_following": 0, "n_likes": 0, "n_posts": 0}

    assert read_facts(AccountFacts, zeros) is None
    assert read_facts(AccountFacts, {**zeros, "is_verified": True}) == AccountFacts(
        is_verified=True
    )
    assert read_facts(AccountFacts, {**zeros, "n_posts": 1}).n_followers == 0


def test_an_unknown_language_is_none():
    found = read_facts(Traits, {"language": "un", "region": "de", "n_mentions": ["@a", "@b"]})

    assert found == Traits(region="DE", n_mentions=2)


def test_an_actors_item_gives_all_it_knows(files):
    row = actor_item(
        authorMeta={
            "name": "someone",
            "fans": "1.2M",
            "following": 3,
            "heart": 400,
            "video": 5,
            "verified": True,
            "signature": "hello",
        },
        musicMeta={
            "musicId": "7001",
            "musicName": "A song",
            "musicAuthor": "A band",
            "musicOriginal": False,
            "duration": 60,
        },
        diggCount=1,
        shareCount=2,
        commentCount=3,
        collectCount=4,
        textLanguage="en",
        isSponsored=True,
        locationCreated="US",
        mentions=["@x"],
    )
    [video], [] = files.read("a.json", [row])

    found = video.sighting
    assert found.account == AccountFacts(1_200_000, 3, 400, 5, is_verified=True, bio_chars=5)
    assert found.sound == SoundFacts("7001", "A song", "A band", False, 60.0)
    assert found.reactions == Reactions(1, 3, 2, 4)
    assert found.traits == Traits("en", "US", is_ad=True, n_mentions=1)


def test_an_answer_of_the_research_api_gives_all_it_knows(files):
    row = research_item(
        like_count=1,
        comment_count=2,
        share_count=3,
        favorites_count=4,
        music_id=6900000000000000001,
        is_stem_verified=True,
        video_mention_list=["a"],
    )
    [video], [] = files.read("a.json", [row])

    found = video.sighting
    assert found.reactions == Reactions(1, 2, 3, 4)
    assert found.sound == SoundFacts("6900000000000000001")
    assert found.traits == Traits(region="DE", n_mentions=1)
    assert found.account is None  # a verified claim of science is no verified account


def test_an_item_of_the_app_gives_all_it_knows(files):
    row = aweme(
        author={
            "unique_id": "someone",
            "follower_count": 10,
            "following_count": 20,
            "total_favorited": 30,
            "aweme_count": 40,
            "custom_verify": "verified account",
            "signature": "",
        },
        statistics={
            "play_count": 44800,
            "digg_count": 1,
            "comment_count": 2,
            "share_count": 3,
            "collect_count": 4,
        },
        music={
            "mid": "7002",
            "title": "A song",
            "author": "A band",
            "duration": 30,
            "user_count": 9,
        },
        desc_language="de",
        region="DE",
        text_extra=[{"hashtag_name": "fun"}, {"user_id": "5", "type": 0}],
    )
    [video], [] = files.read("a.json", [row])

    found = video.sighting
    assert found.account == AccountFacts(10, 20, 30, 40, is_verified=True, bio_chars=0)
    assert found.sound == SoundFacts("7002", "A song", "A band", None, 30.0, 9)
    assert found.reactions == Reactions(1, 2, 3, 4)
    assert found.traits == Traits("de", "DE", n_mentions=1)


def test_ytdlp_gives_all_it_knows(files):
    more = {"channel_follower_count": 5, "like_count": 1, "comment_count": 2, "repost_count": 3}
    [video], [] = files.read("a.info.json", info(**more, save_count=4, track="A song"))

    found = video.sighting
    assert found.account == AccountFacts(n_followers=5)
    assert found.reactions == Reactions(1, 2, 3, 4)
    assert found.sound is None  # it has no id


def test_pairs_may_have_plain_names_beside_them(files):
    row = {"id": actor_item()["id"], "views": 5, "followers": "10K", "likes": 3, "sound_id": "77"}
    [video], [] = files.read("a.json", [row])

    found = video.sighting
    assert (found.account.n_followers, found.reactions.n_likes) == (10_000, 3)
    assert found.sound == SoundFacts("77")
