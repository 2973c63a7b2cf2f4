from urllib.parse import parse_qsl, urlsplit

import pytest

from scraper.replica.messages import FileSlice, may_read, object_key, serve_file, sign

SECRET = b"secret"
KEY = object_key("7622345969398013865")


@pytest.fixture
def visit(ask):
    """A request for the signed file, as the visitor makes it for whom it was signed at second 0."""
    url = sign("7622345969398013865", ask("/"), secret=SECRET, now_s=0, lifetime_s=100)[0]
    parts = urlsplit(url)
    return lambda **fields: ask(parts.path, **({"query": dict(parse_qsl(parts.query))} | fields))


def test_the_visitor_it_was_signed_for_may_read_until_it_expires(visit):
    assert may_read(KEY, visit(), secret=SECRET, now_s=100)
    assert not may_read(KEY, visit(), secret=SECRET, now_s=101)


def test_signed_urls_look_like_the_real_ones(visit):
    query = visit().query
    assert len(query["signature"]) == 32
    assert query["tk"] == "tt_chain_token"
    assert query["mime_type"] == "video_mp4"
    assert "7622345969398013865" not in visit().path


@pytest.mark.parametrize(
    "change",
    [
        {"cookie": ""},
        {"cookie": "somebody else's"},
        {"headers": {}},
        {"headers": {"referer": "http://elsewhere.test/"}},
        {"query": {}},
        {"query": {"expire": "9999999999", "signature": "ä" * 32}},
    ],
)
def test_nobody_else_may_read(visit, change):
    assert not may_read(KEY, visit(**change), secret=SECRET, now_s=0)


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "clip.mp4"
    path.write_bytes(bytes(range(100)))
    return path


@pytest.mark.parametrize(
    ("wanted", "status", "start", "length"),
    [
        (None, 200, 0, 100),
        ("bytes=10-19", 206, 10, 10),
        ("bytes=90-", 206, 90, 10),
        ("bytes=-5", 206, 95, 5),
        ("bytes=-500", 206, 0, 100),
        ("bytes=90-500", 206, 90, 10),
        ("bytes=1-2,5-6", 200, 0, 100),
        ("bytes=-", 200, 0, 100),
    ],
)
def test_sends_the_asked_part(file, wanted, status, start, length):
    reply = serve_file(file, {"range": wanted} if wanted else {})
    assert reply.status == status
    assert reply.body == FileSlice(file, start, length)
    part = f"bytes {start}-{start + length - 1}/100" if status == 206 else None
    assert dict(reply.headers).get("Content-Range") == part


@pytest.mark.parametrize("wanted", ["bytes=100-", "bytes=20-10"])
def test_a_part_beyond_the_end_is_refused(file, wanted):
    reply = serve_file(file, {"range": wanted})
    assert reply.status == 416
    assert ("Content-Range", "bytes */100") in reply.headers


def test_a_part_of_another_version_becomes_the_whole(file):
    etag = dict(serve_file(file, {}).headers)["ETag"]
    asked = {"range": "bytes=10-19"}
    assert serve_file(file, asked | {"if-range": etag}).status == 206
    assert serve_file(file, asked | {"if-range": '"other"'}).status == 200
    assert serve_file(file, {"if-none-match": etag}).status == 304
