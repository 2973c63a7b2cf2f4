import json

import pytest

from scraper.importers import BadColumns, ImportOptions, UnknownFormat, sniff
from tests.scraper.importers.rows import (
    actor_item,
    aweme,
    info,
    research_item,
    tiktok_id,
    web_item,
)

LINE = {"item_id": "1", "timestamp_collected": 1, "data": web_item()}


@pytest.mark.parametrize(
    ("row", "found"),
    [
        (web_item(), "web"),
        (LINE, "web"),
        (actor_item(), "actor"),
        ({"id": tiktok_id(), "playCount": 1}, "actor"),
        (info(), "ytdlp"),
        (research_item(), "research"),
        ({"id": 1, "view_count": 1}, "research"),
        (aweme(), "app"),
        ({"id": tiktok_id(), "url": "x", "views": "2M"}, "pairs"),
        ({"id": tiktok_id(), "views_k": 2}, "pairs"),
    ],
)
def test_a_row_shows_which_tool_wrote_it(files, row, found):
    for text in (json.dumps([row]), json.dumps(row), f"{json.dumps(row)}\n" * 3):
        assert sniff(files.write("a.txt", text)) == found


@pytest.mark.parametrize("text", ["id,views\n", "video_id\tplayCount\n", "sep=;\nid;plays\n1;2\n"])
def test_a_table_shows_it_by_its_columns(files, text):
    assert sniff(files.write("a.txt", text)) == "table"


def test_named_columns_make_a_table_of_any_text(files):
    path = files.write("a.txt", "nr,reach\n1,2\n")

    assert sniff(path, ImportOptions(columns={"id": "nr", "views": "reach"})) == "table"


def test_a_bad_row_before_the_good_ones_hides_nothing(files):
    assert sniff(files.write("a.json", f'[{{"a": NaN}}, {json.dumps(web_item())}]')) == "web"


@pytest.mark.parametrize("content", ["", "[]", '[{"a": 1}]', "hello", b"\x00\x01", "a,b\n1,2\n"])
def test_what_nobody_knows_is_refused_with_the_formats_there_are(files, content):
    with pytest.raises((UnknownFormat, BadColumns), match="ytdlp, web, actor"):
        sniff(files.write("a.bin", content))


def test_a_folder_of_something_else_is_refused(files):
    files.write("a/b.txt", "x")
    with pytest.raises(UnknownFormat, match=r"neither \.info\.json nor \.mp4"):
        sniff(files.folder)
