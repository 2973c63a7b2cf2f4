import math
import re
from collections import Counter
from datetime import UTC, datetime

import numpy as np
import pytest

from scraper.replica.content import (
    MAX_VIEWS,
    MIN_VIEWS,
    SHARED_HASHTAGS,
    TOPICS,
    WARM_DEG,
    ReplicaConfig,
    build_content,
)


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
