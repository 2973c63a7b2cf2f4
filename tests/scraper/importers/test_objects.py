"""JSON of no known tool is a table whose columns are its keys."""

import json

import pytest

from scraper.importers import BadColumns, UnknownFormat
from tests.scraper.importers.rows import FIRST_ID, tiktok_id


def test_objects_are_rows_by_the_names_of_their_keys(files):
    rows = [
        {"video_id": tiktok_id(), "views": 44_800, "title": "a #Dance"},
        {"video_id": tiktok_id(1), "views": "2M", "tags": ["fun"]},
    ]

    for text in (json.dumps(rows), "".join(f"{json.dumps(row)}\n" for row in rows)):
        videos, [] = files.read("a.json", text)

        assert [video.sighting.views_k for video in videos] == [44.8, 2_000.0]
        assert [video.sighting.hashtags for video in videos] == [("dance",), ("fun",)]


def test_what_lies_in_an_object_of_the_row_is_a_column_too(files):
    row = {"id": "dQw4w9WgXcQ", "snippet": {"title": "x"}, "statistics": {"viewCount": "15"}}

    [video], [] = files.read(
        "a.json",
        {"items": [row]},
        platform="youtube",
        columns={"views": "statistics.viewCount", "caption": "snippet.title"},
    )

    assert (video.sighting.tiktok_id, video.sighting.views_k) == ("dQw4w9WgXcQ", 0.015)
    assert (video.sighting.caption, video.platform) == ("x", "youtube")


def test_a_bad_row_costs_itself(files):
    good = json.dumps({"video_id": tiktok_id(), "views": 1})
    videos, rows = files.read("a.json", f'[{good}, {{"views": NaN}}, 5, {{"video_id": "1"}}]')

    assert len(videos) == 1
    assert [row.reason for row in rows] == ["not_json", "not_an_item", "bad_id"]


def test_an_id_that_was_a_float_is_refused_in_json(files):
    rounded = [{"video_id": FIRST_ID // 1024 * 1024, "views": 1}]
    [], [row] = files.read("a.json", rounded)
    assert (row.reason, "rounded" in row.detail) == ("bad_id", True)

    with pytest.raises(BadColumns, match="multiples of 1024"):
        files.read("b.json", rounded * 3)


def test_what_the_keys_do_not_tell_is_asked_for(files):
    with pytest.raises(UnknownFormat, match=r"'reach\.n'; say --column views=NAME"):
        files.read("a.json", [{"id": "a", "reach": {"n": 1}}])
