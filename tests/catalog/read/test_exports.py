"""Exports: what a spreadsheet must not run, what a caption must not tell, one row a video."""

import csv
import io
import json

import pytest

from catalog.read.exports import COLUMNS, export_videos
from catalog.record.sightings import store_sightings
from tests.catalog.factories import add_videos, seen, video_facts

ID = "7301234567890123457"


def exported(catalog, format, **options):
    out = io.StringIO(newline="")
    with catalog.read() as session:
        n_rows = export_videos(session, out, format, **options)
    return n_rows, out.getvalue()


def add(catalog, caption, views_k=30.0):
    with catalog.write() as session:
        sighting = (video_facts(ID, caption=caption), seen(views_k))
        store_sightings(session, [sighting], run_id=None, found_by=None)


@pytest.mark.parametrize("caption", ["=cmd|' /C calc'!A0", "+1", "-1", "@sum", " =1+1", "\t=1"])
def test_a_caption_is_never_a_formula(catalog, caption):
    add(catalog, caption)
    _n, text = exported(catalog, "csv", keep_mentions=True)
    [row] = csv.DictReader(io.StringIO(text))
    assert row["caption"] == f"'{caption}"
    assert row["tiktok_id"] == ID


def test_names_in_captions_are_left_out_unless_asked_for(catalog):
    add(catalog, "with @some.body, thanks")
    assert "some.body" not in exported(catalog, "csv")[1]
    assert "@some.body" in exported(catalog, "jsonl", keep_mentions=True)[1]


def test_lines_have_all_columns_and_ids_as_text(catalog):
    add(catalog, 'two\nlines, "quoted"')
    n_rows, text = exported(catalog, "jsonl")
    row = json.loads(text)
    assert n_rows == 1
    assert tuple(row) == COLUMNS
    assert (row["tiktok_id"], row["views_k"], row["views_text"]) == (ID, 30.0, "30.0K")
    assert row["hashtags"] == "#dance"


def test_pairs_are_the_papers_own_shape_without_unknown_counts(catalog):
    add_videos(catalog, 2)
    add(catalog, "no count", views_k=None)
    n_rows, text = exported(catalog, "pairs")
    assert json.loads(text) == [
        {"id": "7300000000000000001", "views_k": 10.0},
        {"id": "7300000000000000002", "views_k": 20.0},
    ]
    assert n_rows == 2


def test_an_empty_catalog_gives_an_empty_list(catalog):
    assert json.loads(exported(catalog, "pairs")[1]) == []
    assert exported(catalog, "csv")[1].strip() == ",".join(COLUMNS)
