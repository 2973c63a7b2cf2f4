from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from scraper.counts import ViewCount
from scraper.errors import RowRefused
from scraper.importers.video import (
    FieldMap,
    ImportedFile,
    ImportOptions,
    Refusal,
    find,
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


MADE_UP = FieldMap(
    id=("id",),
    views=("stats.plays", "plays"),
    posted_at=("at",),
    observed_at=("seen",),
    observed_as="the moment",
    duration=("ms",),
    duration_per_s=1_000,
    hashtags=lambda row: row["tags"],
    refusals=(Refusal("ad", "it is paid for", lambda row: row.get("paid") is True),),
)
ROW = {"id": tiktok_id(), "stats": {"plays": "1.5K"}, "ms": 2_500, "tags": ["#A", "a", "b"]}


def test_a_field_is_read_from_the_first_of_its_paths_that_has_a_value():
    assert find({"stats": {"plays": ""}, "plays": 5}, ("stats.plays", "plays")) == 5
    assert find({"stats": "none", "plays": None}, ("stats.plays", "plays")) is None
    assert find({"plays": "n/a"}, ("plays",)) == "n/a"


def test_a_row_is_read_as_its_map_says():
    found = MADE_UP.read(ROW, 7, SOURCE)

    assert (found.line, found.sighting.tiktok_id, found.sighting.views_k) == (7, tiktok_id(), 1.5)
    assert (found.sighting.duration_s, found.sighting.hashtags) == (2.5, ("a", "b"))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"paid": True}, "ad: it is paid for"),
        ({"stats": {}}, "no_count"),
        ({"seen": "never"}, "bad_time: the moment 'never'"),
    ],
)
def test_a_refusal_names_the_video_that_it_is_about(change, said):
    with pytest.raises(RowRefused, match=said) as refused:
        MADE_UP.read(ROW | change, 7, SOURCE)
    assert refused.value.tiktok_id == tiktok_id()


def test_an_address_is_looked_at_only_where_the_map_says_so():
    row = ROW | {"url": f"https://www.tiktok.com/@a/video/{tiktok_id(1)}"}
    nameless = {name: value for name, value in row.items() if name != "id"}
    unread, same, enough = (
        replace(MADE_UP, url=("url",), url_id=url_id) for url_id in (None, "same", "enough")
    )

    assert unread.read(row, 1, SOURCE).sighting.tiktok_id == tiktok_id()
    assert enough.read(nameless, 1, SOURCE).sighting.tiktok_id == tiktok_id(1)
    for form, refused in ((same, row), (enough, row), (same, nameless), (unread, nameless)):
        with pytest.raises(RowRefused, match="bad_id"):
            form.read(refused, 1, SOURCE)
