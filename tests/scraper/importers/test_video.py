from datetime import UTC, datetime, timedelta

import pytest

from scraper.counts import ViewCount
from scraper.errors import RowRefused
from scraper.importers.video import (
    ImportedFile,
    ImportOptions,
    make_video,
    rejected,
)
from tests.scraper.importers.rows import WRITTEN_AT, tiktok_id

SOURCE = ImportedFile(ImportOptions(), WRITTEN_AT, WRITTEN_AT + timedelta(days=1))
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


THEN = datetime(2026, 1, 1, tzinfo=UTC)


def test_who_knows_best_says_when_a_count_was_taken(files):
    path = files.write("a", "x")
    silent, told = (ImportedFile.of(path, ImportOptions(observed_at=when)) for when in (None, THEN))

    assert silent.observed_at(None) == (WRITTEN_AT, False)
    assert told.observed_at(None) == (THEN, True)
    assert told.observed_at(WRITTEN_AT) == (WRITTEN_AT, True)


@pytest.mark.parametrize(("reason", "is_skip"), [("ad", True), ("photo", True), ("bad_id", False)])
def test_what_is_only_no_video_is_skipped(reason, is_skip):
    row = rejected(7, b"row", RowRefused(reason, "why", "1"), "a.info.json")

    assert (row.is_skip, row.line, row.tiktok_id, row.file) == (is_skip, 7, "1", "a.info.json")
