import gzip
import json
import os

import pytest

from scraper.importers import (
    BadColumns,
    BadOption,
    ImportOptions,
    ImportRefused,
    UnknownFormat,
    sniff,
)
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


@pytest.mark.parametrize("content", ["\n", "[]", '[{"a": 1}]', "hello", b"\x00\x01", "a,b\n1,2\n"])
def test_what_nobody_knows_is_refused_with_the_formats_there_are(files, content):
    with pytest.raises((UnknownFormat, BadColumns), match="ytdlp, web, actor"):
        sniff(files.write("a.bin", content))


def test_a_folder_of_something_else_is_refused(files):
    files.write("a/b.txt", "x")
    with pytest.raises(UnknownFormat, match=r"neither \.info\.json nor \.mp4"):
        sniff(files.folder)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is empty"),
        (gzip.compress(b"id,views", mtime=0), r"gzip.*unpack it first"),
        (b"PK\x03\x04" + b"\0" * 50, "save as CSV UTF-8, ids as text"),
        (b"SQLite format 3\0", "export the table"),
    ],
)
def test_what_is_no_table_yet_is_named(files, content, said):
    with pytest.raises(UnknownFormat, match=said):
        sniff(files.write("a.csv", content))


def test_a_pipe_is_refused_rather_than_waited_for(files):
    os.mkfifo(files.folder / "pipe")
    with pytest.raises(BadOption, match="no plain file"):
        sniff(files.folder / "pipe")
    (files.folder / "nowhere").symlink_to("gone")
    with pytest.raises(BadOption, match="a link must lead somewhere"):
        sniff(files.folder / "nowhere")


def test_what_may_not_be_read_is_said_in_a_line(files, monkeypatch):
    path = files.write("a.csv", "id,views")

    def refuse(*_args, **_options):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(type(path), "open", refuse)
    with pytest.raises(ImportRefused, match=r"a\.csv' cannot be read: Permission denied"):
        sniff(path)


def test_a_name_breaks_no_message(files):
    with pytest.raises(UnknownFormat) as caught:
        sniff(files.write("a\n\x1b[31m.csv", "a,b\n1,2\n"))
    assert str(caught.value).isprintable()


def test_an_item_of_another_site_is_no_item_of_tiktoks(files):
    path = files.write("a.json", [{"id": "a", "view_count": 1, "username": "x"}])

    assert sniff(path) == "research"
    assert sniff(path, ImportOptions(platform="instagram")) == "table"
