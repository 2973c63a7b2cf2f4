import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from scraper.importers import ImportOptions, read_path, sniff
from tests.scraper.importers.rows import WRITTEN_AT, actor_item, split, tiktok_id

# The environment as it was before the tests hide the developer's own settings in it.
DEFAULT = Path(__file__).resolve().parents[4] / "shared" / "data"
SHARED = Path(os.environ.get("VIEWCAST_DATA", DEFAULT))
TRENDING = SHARED / "trending_2020.json"


@pytest.mark.parametrize("content", [[actor_item()], {"collector": [actor_item()]}, actor_item()])
def test_an_item_of_the_family_is_read(files, content):
    [video], [] = files.read("a.json", content)

    found = video.sighting
    assert (found.tiktok_id, found.handle, found.caption) == (tiktok_id(), "author0", "a caption")
    assert (found.display_text, found.views_k, found.step_k) == ("44800", 44.8, 0.1)
    assert (found.hashtags, found.duration_s, found.width_px) == (("volleyball",), 15.0, 576)
    assert (found.observed_at, video.is_time_stated) == (WRITTEN_AT, False)
    assert video.url is None


def test_an_actor_may_say_when_it_looked(files):
    item = actor_item(createTime=None, createTimeISO="2025-11-12T15:36:28.000Z")
    [video], [] = files.read("a.json", [item | {"scrapedAt": "2025-11-13T00:00:00.000Z"}])

    assert video.sighting.posted_at == datetime(2025, 11, 12, 15, 36, 28, tzinfo=UTC)
    assert video.sighting.observed_at == datetime(2025, 11, 13, tzinfo=UTC)
    assert video.is_time_stated


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"isAd": True}, "ad"),
        ({"isSlideshow": True}, "photo"),
        ({"videoMeta": {"duration": 0}}, "no_video"),
        ({"playCount": None}, "no_count"),
        ({"playCount": -1}, "bad_count"),
        ({"playCount": True}, "bad_count"),
        ({"createTime": "soon"}, "bad_time"),
        ({"createTime": 2_000_000_000}, "bad_time"),
        ({"webVideoUrl": "https://www.tiktok.com/@a/video/7571863205253778799"}, "bad_id"),
    ],
)
def test_what_is_no_plain_video_is_refused_by_reason(files, changes, reason):
    [_], [row] = files.read("a.json", [actor_item(1), actor_item(**changes)])

    assert row.reason == reason


def test_an_error_that_an_actor_noted_is_no_item(files):
    [_], [row] = files.read("a.json", [actor_item(), {"error": "Not found", "url": "x"}])

    assert row.reason == "not_an_item"
    assert "Not found" in row.detail


@pytest.mark.skipif(not TRENDING.is_file(), reason=f"there is no {TRENDING.name}")
def test_a_real_data_set_is_read_whole():
    videos, rejects = split(read_path(TRENDING, ImportOptions()))

    assert (sniff(TRENDING), len(videos), rejects) == ("actor", 1_000, [])
    assert len({video.sighting.tiktok_id for video in videos}) == 1_000
    assert len({video.sighting.handle for video in videos}) == 802
