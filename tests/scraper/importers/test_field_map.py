from dataclasses import replace
from datetime import timedelta

import pytest

from scraper.errors import RowRefused
from scraper.importers.field_map import FieldMap, Refusal, find
from scraper.importers.video import ImportedFile, ImportOptions
from tests.scraper.importers.rows import WRITTEN_AT, tiktok_id

SOURCE = ImportedFile(ImportOptions(), WRITTEN_AT, WRITTEN_AT + timedelta(days=1))
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
