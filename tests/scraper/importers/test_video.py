from datetime import UTC, datetime, timedelta

import pytest

from scraper.counts import ViewCount
from scraper.importers.errors import RowRefused
from scraper.importers.records import ImportOptions, Source
from scraper.importers.video import make_video
from tests.scraper.importers.rows import WRITTEN_AT, tiktok_id

SOURCE = Source(ImportOptions(), WRITTEN_AT, WRITTEN_AT + timedelta(days=1))
COUNT = ("2M", ViewCount(2_000.0, 100.0))


def make(**more):
    return make_video(SOURCE, 1, tiktok_id=tiktok_id(), count=COUNT, **more)


def test_strange_values_of_little_weight_are_left_out():
    found = make(handle=7, caption=["x"], duration_s="long", width_px=-1, height_px=1e9).sighting

    assert (found.handle, found.caption, found.duration_s) == (None, "", None)
    assert (found.width_px, found.height_px) == (None, None)


def test_text_is_cleaned_for_every_database():
    found = make(handle="@name", caption="a\0b\ud800 #Fun\0ny").sighting

    assert (found.handle, found.caption, found.hashtags) == ("name", "ab #Funny", ("funny",))


@pytest.mark.parametrize("url", ["javascript:alert(1)", "https://x y", "https://" + "x" * 3_000, 7])
def test_what_is_no_plain_address_is_left_out(url):
    assert make(platform="other", url=url).url is None


def test_an_address_of_tiktok_is_made_from_the_id():
    url = f"https://www.tiktok.com/@someone/video/{tiktok_id()}"

    assert make(url=url).url is None
    assert make(platform="other", url=url).url == url


@pytest.mark.parametrize(
    ("posted_at", "observed_at", "said"),
    [
        (None, datetime(2020, 1, 1, tzinfo=UTC), "before the video was posted"),
        (WRITTEN_AT + timedelta(days=5), None, "--observed-at"),
        (None, datetime(2030, 1, 1, tzinfo=UTC), "in the future"),
    ],
)
def test_times_that_contradict_each_other_are_refused(posted_at, observed_at, said):
    with pytest.raises(RowRefused, match=said) as refused:
        make(posted_at=posted_at, observed_at=observed_at)
    assert (refused.value.reason, refused.value.tiktok_id) == ("bad_time", tiktok_id())
