import math
import re
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime
from itertools import pairwise

import numpy as np
import pytest

from scraper.replica.content import (
    LAST_VANISHING_DAY,
    MAX_VIEWS,
    MIN_VIEWS,
    SHARED_HASHTAGS,
    TOPICS,
    WARM_DEG,
    ReplicaConfig,
    Timeline,
    build_content,
    vanishing_day,
)
from scraper.replica.site import ReplicaSite


@pytest.fixture(scope="module")
def many():
    return build_content(ReplicaConfig(videos_per_tag=100))


@pytest.fixture
def at(many):
    return lambda day: Timeline(many, lambda: day)


def test_on_day_0_everything_is_as_planted(many, at):
    for name, videos in many.by_tag.items():
        assert at(0.0).listed(name) == at(-1.0).listed(name) == videos


def test_a_count_depends_on_the_day_alone(many, at):
    in_order, at_once = Timeline(many, iter([1.0, 5.0, 20.0]).__next__), at(20.0)
    last = [in_order.listed("sports") for _ in range(3)][-1]
    assert last == at_once.listed("sports")


def test_counts_grow_ever_slower(many, at):
    def total(day):
        timeline = at(day)
        stays = [v for v in many.videos if vanishing_day(v) is None]
        return sum(timeline.video(v.tiktok_id).views for v in stays)

    early, late = total(5.0) - total(0.0), total(45.0) - total(40.0)
    assert early > 10 * abs(late)
    assert total(0.0) * 1.1 < total(40.0) < total(0.0) * 2


def test_two_daily_steps_in_a_hundred_fall_a_little(many):
    videos = [v for v in many.videos if vanishing_day(v) is None]
    days = [Timeline(many, lambda day=day: day) for day in range(31)]
    courses = [[day.video(v.tiktok_id).views for day in days] for v in videos]
    steps = [(b - a) / a for course in courses for a, b in pairwise(course)]
    falls = [step for step in steps if step < 0]
    assert 0.015 < len(falls) / len(steps) < 0.025
    assert all(-0.031 < step < -0.009 for step in falls)


def test_a_count_changes_within_a_day(many, at):
    number = many.videos[0].tiktok_id
    early, noon, late = (at(day).video(number).views for day in (1.0, 1.5, 2.0))
    assert noon == pytest.approx((early + late) / 2, abs=1)


def test_a_few_videos_vanish_each_on_its_day(many, at):
    gone = {v.tiktok_id: day for v in many.videos if (day := vanishing_day(v)) is not None}
    assert 0.025 < len(gone) / len(many.videos) < 0.055
    assert 1 <= min(gone.values()) < max(gone.values()) <= LAST_VANISHING_DAY
    for number, day in list(gone.items())[:5]:
        assert at(math.nextafter(day, 0)).video(number) is not None
        assert at(day).video(number) is None
    last = at(float(LAST_VANISHING_DAY))
    left = {v.tiktok_id for name in many.by_tag for v in last.listed(name)}
    assert left == {v.tiktok_id for v in many.videos} - set(gone)
    assert last.video("1") is None


@pytest.fixture
def days():
    return [0.0]


@pytest.fixture
def older(visitor, days, media_folder):
    """The site on days[0], as its visitor sees it."""
    visitor.site = ReplicaSite(visitor.site.content, media_folder, days=lambda: days[0])
    return visitor


def test_the_site_shows_the_counts_of_its_day(older, days):
    before = {item["id"]: item["stats"]["playCount"] for item in older.items()}
    days[0] = 10.0
    after = {item["id"]: item["stats"]["playCount"] for item in older.items()}
    assert sum(after[number] > before[number] for number in after.keys() & before.keys()) > 15
    video = older.site.timeline.video(next(iter(after)))
    assert video.views > 0
    assert replace(video, views=0) == replace(older.site.content.by_id[video.tiktok_id], views=0)


@pytest.mark.ffmpeg
def test_a_video_that_vanished_is_gone_everywhere(older, days):
    gone = [v for v in older.listed if vanishing_day(v) is not None]
    video = min(gone, key=lambda v: v.duration_s * v.width_px)
    file = older.struct(video)["video"]["playAddr"].removeprefix("http://replica.test")
    days[0] = float(LAST_VANISHING_DAY)
    detail = older.scope(older.video(video))["webapp.video-detail"]
    assert (detail["statusCode"], "itemInfo" in detail) == (10204, False)
    assert older.site.answer(older.ask(file.partition("?")[0])).status == 403
    ids = {item["id"] for cursor in (0, 30, 60) for item in older.items(cursor)}
    assert ids == {v.tiktok_id for v in older.listed} - {v.tiktok_id for v in gone}
    page = older.site.answer(older.ask(f"/@{video.handle}")).body.decode()
    assert video.tiktok_id not in page


def test_equal_seeds_give_equal_content(content):
    assert build_content(ReplicaConfig()) == content
    assert build_content(ReplicaConfig(seed=1)).videos != content.videos


def test_a_longer_listing_keeps_the_videos_of_a_shorter_one(content):
    longer = build_content(ReplicaConfig(videos_per_tag=8))
    assert {v.tiktok_id: v for v in content.videos}.items() <= dict(longer.by_id).items()


def test_every_topic_lists_its_videos_under_its_first_hashtag(content):
    assert len(TOPICS) == 12
    for hashtags in TOPICS.values():
        assert len(content.by_tag[hashtags[0]]) == content.config.videos_per_tag
    assert len(content.videos) == 12 * content.config.videos_per_tag


def test_some_videos_share_a_hashtag_of_the_pool(content):
    shared = Counter(name for v in content.videos for name in v.hashtags if name in SHARED_HASHTAGS)
    assert set(shared) == set(SHARED_HASHTAGS)
    assert max(len({v.topic for v in content.by_tag[name]}) for name in shared) > 6


def test_ids_hold_the_second_of_the_upload(content):
    for video in content.videos:
        assert re.fullmatch(r"[0-9]{19}", video.tiktok_id)
        lag_s = int(video.created_at.timestamp()) - (int(video.tiktok_id) >> 32)
        assert 1 <= lag_s <= 222
        assert (
            datetime(2026, 3, 1, tzinfo=UTC) <= video.created_at < datetime(2026, 11, 1, tzinfo=UTC)
        )


def test_captions_are_varied_and_hold_their_hashtags():
    videos = build_content(ReplicaConfig(videos_per_tag=30)).videos
    for video in videos:
        written = {word[1:] for word in video.caption.split() if word.startswith("#")}
        assert written == set(video.hashtags)
        assert TOPICS[video.topic][0] in written
        assert "{" not in video.caption
    assert len({v.caption for v in videos}) > 0.97 * len(videos)


def test_forms_and_sounds_vary():
    videos = build_content(ReplicaConfig(videos_per_tag=60)).videos
    sounds = Counter(v.sound for v in videos)
    assert sounds["none"] / len(videos) == pytest.approx(0.12, abs=0.04)
    assert sounds["speech"] > sounds["music"] > sounds["noise"] > 0
    assert {v.rate_hz for v in videos} == {24, 25, 30}
    assert all(3 <= v.duration_s <= 20 for v in videos)
    assert all(v.width_px % 2 == v.height_px % 2 == 0 for v in videos)
    vertical = sum(v.width_px * 16 == pytest.approx(v.height_px * 9, rel=0.01) for v in videos)
    assert 0.85 < vertical / len(videos) < 1


def test_what_is_seen_and_heard_explains_four_fifths_of_the_views():
    videos = build_content(ReplicaConfig(videos_per_tag=150)).videos
    log_views = np.log10([v.views for v in videos])
    sounds = ("speech", "music", "noise")
    seen_and_heard = np.array(
        [
            [
                1.0,
                v.look.luma,
                math.cos(math.radians(v.look.hue_deg - WARM_DEG)),
                v.look.motion,
                *(v.sound == s for s in sounds),
            ]
            for v in videos
        ]
    )
    weights = np.linalg.lstsq(seen_and_heard, log_views, rcond=None)[0]
    explained = 1 - np.var(log_views - seen_and_heard @ weights) / np.var(log_views)
    assert 0.75 < explained < 0.88
    assert np.all(weights[1:] > 0)


def test_views_are_heavy_tailed_and_within_bounds():
    views = [v.views for v in build_content(ReplicaConfig(videos_per_tag=100)).videos]
    assert MIN_VIEWS <= min(views) < 5_000
    assert 5_000_000 < max(views) <= MAX_VIEWS
    assert np.mean(views) > 3 * np.median(views)
