from dataclasses import replace

import pytest

from scraper.replica.accounts import account_stats, make_account, own_sound, uses_of
from scraper.replica.content import ReplicaConfig, build_content
from scraper.replica.growth import Timeline


@pytest.fixture(scope="module")
def many():
    return build_content(ReplicaConfig(videos_per_tag=40))


def test_an_account_follows_from_the_seed_and_its_number():
    assert make_account(1, 2) == make_account(1, 2)
    assert make_account(1, 2) != make_account(1, 3)


def test_followers_grow_with_the_days_ever_slower(many):
    account = many.accounts[0]
    counts = [account_stats(account, day, 3).followers for day in (0, 1, 10, 30, 300, 330)]
    assert counts[0] == account.followers
    assert counts == sorted(counts)
    assert counts[3] - counts[0] > 3 * (counts[5] - counts[4])
    assert account_stats(account, 5, 3).n_posts == 3


def test_a_sound_is_used_more_every_day_and_by_no_fewer_than_are_listed(many):
    sound = next(v.music for v in many.videos if not v.music.is_original)
    uses = [uses_of(sound, day, 1) for day in (0, 5, 50)]
    assert uses[0] < uses[1] < uses[2]
    assert uses_of(replace(sound, n_uses=1), 0, 7) == 7


def test_videos_share_published_sounds_and_bring_their_own(many):
    shared = [v for v in many.videos if not v.music.is_original]
    assert 0.3 < len(shared) / len(many.videos) < 0.5
    assert max(len(videos) for videos in many.by_sound.values()) > 10
    own = next(v for v in many.videos if v.music.is_original)
    assert own.music == own_sound(own.tiktok_id, own.account, own.duration_s)
    assert own.account.nickname in own.music.title


def test_several_accounts_post_several_videos_and_a_private_one_none(many):
    assert sum(len(videos) > 3 for videos in many.by_handle.values()) > 20
    assert many.accounts[-1].is_private
    assert many.by_handle[many.accounts[-1].handle] == ()


def test_an_account_counts_the_videos_that_are_left(many):
    before, after = Timeline(many, lambda: 0.0), Timeline(many, lambda: 40.0)
    n_before = [before.account_stats(a).n_posts for a in many.accounts]
    n_after = [after.account_stats(a).n_posts for a in many.accounts]
    assert n_before == [len(many.by_handle[a.handle]) for a in many.accounts]
    assert sum(n_after) < sum(n_before)
