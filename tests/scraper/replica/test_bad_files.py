import subprocess

import pytest

from scraper.replica.messages import FileSlice

pytestmark = pytest.mark.ffmpeg


def promised(visitor, video):
    return visitor.struct(video)["video"]["bitrateInfo"][0]["PlayAddr"]["DataSize"]


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


@pytest.mark.parametrize(
    ("fault", "head"), [("html_as_mp4", b"<HTML>"), ("png_as_mp4", b"\x89PNG")]
)
def test_a_file_is_something_else_of_the_promised_size(visitor, fault, head):
    visitor.site.set_fault("sports", fault)
    reply = visitor.file(visitor.plain)
    assert (reply.status, reply.content_type) == (200, "video/mp4")
    assert reply.body.startswith(head)
    assert len(reply.body) == promised(visitor, visitor.plain)


def test_the_picture_is_a_real_one(visitor, tmp_path):
    visitor.site.set_fault("sports", "png_as_mp4")
    picture = tmp_path / "x.png"
    picture.write_bytes(visitor.file(visitor.plain).body)
    command = ["ffprobe", "-v", "error", "-show_entries", "stream=codec_name,width", str(picture)]
    assert b"codec_name=png\nwidth=64" in subprocess.check_output(command)


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


def test_an_address_is_expired_until_the_page_is_asked_again(visitor):
    visitor.site.set_fault("sports", "expired_url")
    assert visitor.file(visitor.plain).status == 403
    assert visitor.file(visitor.plain).status == 200
    # Each video for itself, and anew with a new switch.
    assert visitor.file(visitor.odd).status == 403
    visitor.site.set_fault("sports", "expired_url:2")
    assert [visitor.file(visitor.plain).status for _ in range(3)] == [403, 403, 200]


def test_nobody_gets_a_wrong_file_who_may_not_have_the_right_one(visitor):
    visitor.file(visitor.plain)
    path = visitor.struct(visitor.plain)["video"]["playAddr"].removeprefix("http://replica.test")
    for fault in ("truncated_mp4", "html_as_mp4", "endless_body"):
        visitor.site.set_fault("sports", fault)
        assert visitor.site.answer(visitor.ask(path.partition("?")[0])).status == 403
