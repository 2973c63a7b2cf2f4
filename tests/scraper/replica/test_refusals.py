import json
import subprocess

import pytest

from scraper.replica.messages import Endless, FileSlice


def promised(visitor, video):
    return visitor.struct(video)["video"]["bitrateInfo"][0]["PlayAddr"]["DataSize"]


@pytest.mark.ffmpeg
def test_a_file_is_cut_off_and_only_decoding_tells(visitor, tmp_path):
    whole = promised(visitor, visitor.plain)
    visitor.site.set_fault("sports", "truncated_mp4:0.5")
    reply = visitor.file(visitor.plain, range="bytes=100-")
    assert (reply.status, reply.content_type) == (200, "video/mp4")
    part = reply.body
    assert isinstance(part, FileSlice)
    assert part.length == promised(visitor, visitor.plain) == whole // 2
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(part.path.read_bytes()[: part.length])
    subprocess.run(["ffprobe", "-v", "quiet", "-f", "mov", str(cut)], check=True)
    decode = ["ffmpeg", "-v", "quiet", "-xerror", "-i", str(cut), "-f", "null", "-"]
    assert subprocess.run(decode, check=False).returncode != 0


@pytest.mark.ffmpeg
@pytest.mark.parametrize(
    ("fault", "head"), [("html_as_mp4", b"<HTML>"), ("png_as_mp4", b"\x89PNG")]
)
def test_a_file_is_something_else_of_the_promised_size(visitor, fault, head):
    visitor.site.set_fault("sports", fault)
    reply = visitor.file(visitor.plain)
    assert (reply.status, reply.content_type) == (200, "video/mp4")
    assert reply.body.startswith(head)
    assert len(reply.body) == promised(visitor, visitor.plain)


@pytest.mark.ffmpeg
def test_the_picture_is_a_real_one(visitor, tmp_path):
    visitor.site.set_fault("sports", "png_as_mp4")
    picture = tmp_path / "x.png"
    picture.write_bytes(visitor.file(visitor.plain).body)
    command = ["ffprobe", "-v", "error", "-show_entries", "stream=codec_name,width", str(picture)]
    assert b"codec_name=png\nwidth=64" in subprocess.check_output(command)


@pytest.mark.ffmpeg
@pytest.mark.parametrize(
    ("fault", "location"),
    [
        ("redirect_file", "file:///etc/hostname"),
        ("redirect_inner", "http://169.254.169.254/latest/meta-data/"),
        ("redirect_port", "http://127.0.0.1:81/video/tos/"),
        ("redirect_port:9", "http://127.0.0.1:9/video/tos/"),
    ],
)
def test_a_file_is_said_to_be_elsewhere(visitor, fault, location):
    visitor.site.set_fault("sports", fault)
    reply = visitor.file(visitor.plain)
    assert reply.status == 302
    assert dict(reply.headers)["Location"].startswith(location)


@pytest.mark.ffmpeg
def test_an_address_is_expired_until_the_page_is_asked_again(visitor):
    visitor.site.set_fault("sports", "expired_url")
    assert visitor.file(visitor.plain).status == 403
    assert visitor.file(visitor.plain).status == 200
    # Each video for itself, and anew with a new switch.
    assert visitor.file(visitor.odd).status == 403
    visitor.site.set_fault("sports", "expired_url:2")
    assert [visitor.file(visitor.plain).status for _ in range(3)] == [403, 403, 200]


@pytest.mark.ffmpeg
def test_nobody_gets_a_wrong_file_who_may_not_have_the_right_one(visitor):
    visitor.file(visitor.plain)
    path = visitor.struct(visitor.plain)["video"]["playAddr"].removeprefix("http://replica.test")
    for fault in ("truncated_mp4", "html_as_mp4", "endless_body"):
        visitor.site.set_fault("sports", fault)
        assert visitor.site.answer(visitor.ask(path.partition("?")[0])).status == 403


@pytest.fixture
def switch(visitor):
    return lambda fault: visitor.site.set_fault("sports", fault)


@pytest.mark.parametrize("fault", ["empty_body", "verify_json", "rate_limit", "endless_body"])
def test_a_late_refusal_lets_the_first_part_through(visitor, switch, fault):
    usual = visitor.part(0)
    switch(fault)
    assert visitor.part(0) == usual
    assert visitor.page().status == visitor.detail().status == 200
    assert visitor.part(30) != usual


@pytest.mark.ffmpeg
@pytest.mark.parametrize(
    ("fault", "place", "mark"),
    [
        ("empty_body:0", "part", b""),
        ("verify_json:0", "part", b'{"type": "verify"}'),
        ("captcha:0", "page", b'id="tiktok-verify-ele"'),
        ("captcha", "video", b'id="tiktok-verify-ele"'),
        ("waf_wait", "page", b'id="cs" class="BASE64"'),
        ("waf_wait", "video", b"<title>Please wait...</title>"),
        ("forbidden", "page", b"<TITLE>Access Denied</TITLE>"),
        ("server_error", "detail", b"Internal Server Error"),
        ("verify_json", "video", b'"statusCode": 10000'),
    ],
)
def test_a_refusal_bears_its_mark(visitor, switch, fault, place, mark):
    switch(fault)
    reply = visitor.video(visitor.plain) if place == "video" else getattr(visitor, place)()
    assert reply.body == mark if not mark else mark in reply.body


@pytest.mark.ffmpeg
@pytest.mark.parametrize(
    ("fault", "status"), [("rate_limit", 429), ("forbidden", 403), ("server_error", 500)]
)
def test_a_status_is_given_to_the_videos_and_files_of_the_hashtag_too(
    visitor, switch, fault, status
):
    assert visitor.file(visitor.plain).status == 200
    path = visitor.struct(visitor.plain)["video"]["playAddr"].removeprefix("http://replica.test")
    switch(fault)
    assert visitor.video(visitor.plain).status == status
    assert visitor.site.answer(visitor.ask(path.partition("?")[0])).status == status


def test_a_login_wall_leads_to_the_login_page(visitor, switch):
    switch("login_wall")
    reply = visitor.page()
    assert reply.status == 302
    location = dict(reply.headers)["Location"]
    assert location.startswith("/login?redirect_url=/tag/sports")
    assert visitor.site.answer(visitor.ask("/login")).status == 200


def test_a_hashtag_may_be_forgotten(visitor, switch):
    switch("no_such_hashtag")
    assert visitor.page().status == 200
    assert json.loads(visitor.detail().body)["statusCode"] == 10205


def test_an_endless_body_says_how_fast_it_comes(visitor, switch):
    switch("endless_body:0.001")
    body = visitor.part(30).body
    assert isinstance(body, Endless)
    assert body.bytes_per_s == 1_000
    assert 0 < len(body.block) <= 50
    switch("endless_body:after=0")
    assert isinstance(visitor.page().body, Endless)


@pytest.mark.ffmpeg
def test_an_endless_file_begins_as_the_real_one(visitor, switch):
    visitor.file(visitor.plain)
    switch("endless_body")
    body = visitor.file(visitor.plain).body
    assert isinstance(body, Endless)
    assert body.head[4:8] == b"ftyp"
