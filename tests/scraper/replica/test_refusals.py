import json

import pytest

from scraper.replica.messages import Endless


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
