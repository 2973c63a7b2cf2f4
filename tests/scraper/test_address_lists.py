import json

import pytest

from scraper.address_lists import read_list
from scraper.errors import BadColumns, UnknownFormat

ONE, TWO = "https://www.tiktok.com/@x/video/1", "https://www.tiktok.com/@x/video/2"
LINES = f"# a comment\n{ONE}\n\n; another\n  {TWO}  \n#dance\n@somebody\n"


def read(text, name="list.txt"):
    found = read_list(text if isinstance(text, bytes) else text.encode(), name)
    return [(entry.line, entry.text) for entry in found.entries]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_lines_are_entries_and_comments_are_none(encoding):
    wanted = [(2, ONE), (5, TWO), (6, "#dance"), (7, "@somebody")]
    assert read(LINES.encode(encoding)) == wanted
    assert read(LINES.replace("\n", "\r\n")) == wanted


@pytest.mark.parametrize(
    ("head", "row"),
    [
        ("url", ONE),
        ("URL,views", f"{ONE},12"),
        ("views;Video Link", f"12;{ONE}"),
        ("title\twebVideoUrl\tid", f'"a, b"\t{ONE}\t7'),
        ("id,share_url", f"7,{ONE}"),
        ("video_id,views", f"{ONE},12"),
    ],
)
def test_a_table_has_a_column_of_addresses(head, row):
    assert read(f"{head}\n{row}\n\n{row}\n") == [(2, ONE), (4, ONE)]


def test_a_cell_may_hold_lines_and_a_row_may_be_short():
    assert read(f'caption,url\n"two\nlines",{ONE}\nalone\n') == [(3, ONE), (4, "")]


def test_the_columns_that_are_not_read_are_told():
    found = read_list(f"url,views,title\n{ONE},12,x\n".encode(), "a.csv")
    assert found.columns_left == ("views", "title")
    assert read_list(LINES.encode(), "a.txt").columns_left == ()


DOWNLOAD = {
    "Activity": {
        "Favorite Videos": {"FavoriteVideoList": [{"Date": "2025-01-02", "Link": ONE}]},
        "Like List": {"ItemFavoriteList": [{"date": "2025-01-02", "link": TWO}]},
        "Login History": {"LoginHistoryList": [{"Date": "2025-01-02", "IP": "127.0.0.1"}]},
    },
    "Profile": {"ProfileMap": {"profilePhoto": "https://p16.tiktokcdn.com/x.jpg"}},
}


def test_the_sites_own_data_of_a_user_are_read():
    assert read(json.dumps(DOWNLOAD), "user_data.json") == [(1, ONE), (2, TWO)]
    text = f"Date: 2025-01-02 03:04:05 UTC\nLink: {ONE}\n\nDate: 2025-01-03\nLink: {TWO}\n"
    assert read(text, "Like List.txt") == [(2, ONE), (5, TWO)]


def test_json_may_be_a_plain_list_however_deep():
    assert read(json.dumps([ONE, TWO])) == [(1, ONE), (2, TWO)]
    assert read('{"a":' * 500 + json.dumps([ONE]) + "}" * 500) == [(1, ONE)]


@pytest.mark.parametrize(
    ("content", "error", "words"),
    [
        (b'{"a": 1}', UnknownFormat, "without addresses"),
        (b'{"a": ', UnknownFormat, "cannot be read"),
        (b"[" * 200_000, UnknownFormat, "cannot be read"),
        (b"\xff\x00\xfa\x80", UnknownFormat, "no text"),
        (b"PK\x03\x04\x00\x00", UnknownFormat, "no text"),
        (b"title,views\na,1\n", BadColumns, "title, views"),
    ],
)
def test_what_is_no_list_says_what_was_found(content, error, words):
    with pytest.raises(error, match=words):
        read_list(content, "list")


def test_an_empty_list_has_no_entries():
    assert read("") == read("\n# nothing\n") == []


@pytest.mark.parametrize("head", ["username", "Unique ID", "handle;followers"])
def test_a_column_of_accounts_needs_no_at_sign(head):
    more = ";5" if ";" in head else ""
    lines = [head, f"some.body{more}", f"@other{more}", f"https://www.tiktok.com/@third{more}"]
    found = read_list("\n".join(lines).encode(), "a.csv")
    texts = [entry.text for entry in found.entries]
    assert texts == ["@some.body", "@other", "https://www.tiktok.com/@third"]
    assert [entry.line for entry in found.entries] == [2, 3, 4]


def test_addresses_and_ids_come_before_accounts():
    found = read_list(b"username,id\nsome.body,7571863205253778710\n", "a.csv")
    assert [entry.text for entry in found.entries] == ["7571863205253778710"]
    assert found.columns_left == ("username",)
