from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scraper.addresses import Address, parse_address, read_account_name, read_sound_id, tiktok_video
from scraper.errors import RowRefused

ID = "7571863205253778710"
VIDEO = tiktok_video(ID)
SOUND = Address("sound", "7098765432109876543")


@pytest.mark.parametrize(
    "text",
    [
        ID,
        f" {ID}\n",
        f"https://www.tiktok.com/@some.body/video/{ID}",
        f"https://www.tiktok.com/@some.body/video/{ID}?is_from_webapp=1&sender_device=pc",
        f"http://tiktok.com/@/video/{ID}/",
        f"tiktok.com/@x/video/{ID}",
        f"https://m.tiktok.com/v/{ID}.html?u_code=1",
        f"https://www.tiktok.com/v/{ID}",
        f"https://www.tiktok.com/embed/{ID}",
        f"https://www.tiktok.com/embed/v2/{ID}?lang=en",
        f"https://www.tiktok.com/player/v1/{ID}",
        f"https://www.tiktokv.com/share/video/{ID}/",
        f"https://www.tiktok.com/i18n/share/video/{ID}/",
        f"HTTPS://WWW.TIKTOK.COM/@x/video/{ID}",
        f"<https://www.tiktok.com/@x/video/{ID}>",
        f"https://www.tiktok.com/foryou?item_id={ID}",
    ],
)
def test_a_video_is_known_by_every_form_of_its_address(text):
    assert parse_address(text) == VIDEO


def test_the_address_that_is_kept_names_nobody():
    found = parse_address(f"https://www.tiktok.com/@some.body/video/{ID}")
    assert found.url == f"https://www.tiktok.com/@/video/{ID}"


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("@some.body", Address("account", "some.body")),
        ("https://www.tiktok.com/@some.body", Address("account", "some.body")),
        ("https://www.tiktok.com/@some_body/?lang=de", Address("account", "some_body")),
        ("https://www.tiktok.com/embed/@some_body", Address("account", "some_body")),
        (f"https://www.tiktok.com/music/original-sound-{SOUND.name}", SOUND),
        (f"https://www.tiktok.com/music/%E5%8E%9F%E5%A3%B0-{SOUND.name}?lang=en", SOUND),
        (f"https://www.tiktok.com/music/{SOUND.name}", SOUND),
        ("#Dance", Address("hashtag", "dance")),
        ("https://www.tiktok.com/tag/dance", Address("hashtag", "dance")),
        ("https://vm.tiktok.com/ZMabc/", Address("short", "https://vm.tiktok.com/ZMabc/")),
        ("vt.tiktok.com/ZMabc", Address("short", "https://vt.tiktok.com/ZMabc")),
        ("https://www.tiktok.com/t/ZMabc/", Address("short", "https://www.tiktok.com/t/ZMabc/")),
    ],
)
def test_what_an_address_means_is_told(text, wanted):
    assert parse_address(text) == wanted


@pytest.mark.parametrize(
    ("text", "name", "url"),
    [
        ("https://www.youtube.com/shorts/inVenTed001", "youtube", "shorts/inVenTed001"),
        ("https://youtu.be/inVenTed001?t=3", "youtube", "watch?v=inVenTed001"),
        ("https://m.youtube.com/watch?v=inVenTed001&list=x", "youtube", "watch?v=inVenTed001"),
        ("https://www.instagram.com/reel/CxYz_12-ab/", "instagram", "reel/CxYz_12-ab/"),
        ("https://instagram.com/some.body/reel/CxYz_12-ab", "instagram", "reel/CxYz_12-ab/"),
        ("https://www.instagram.com/p/CxYz_12-ab/", "instagram", "p/CxYz_12-ab/"),
    ],
)
def test_videos_of_other_platforms_keep_an_address_to_fetch_them_by(text, name, url):
    found = parse_address(text)
    assert (found.kind, found.platform) == ("video", name)
    assert found.url == f"https://www.{name}.com/{url}"
    assert found.name in url


@pytest.mark.parametrize(
    ("text", "reason", "words"),
    [
        ("", "unknown_address", "expected"),
        ("hello", "unknown_address", "expected"),
        ("https://www.tiktok.com/", "unknown_address", "names no video"),
        ("https://www.tiktok.com/@x/live", "unknown_address", "names no video"),
        (f"https://www.tiktok.com/@x/photo/{ID}", "photo", "photo post"),
        ("https://www.tiktok.com/@x/video/123", "bad_id", "expected"),
        ("7.571863205253779E+18", "bad_id", "last digits are lost"),
        ("7571863205253778710.0", "bad_id", "last digits are lost"),
        ("12345", "bad_id", "expected"),
        (f"https://evil.example/@x/video/{ID}", "unknown_address", "expected"),
        (f"https://nottiktok.com/@x/video/{ID}", "unknown_address", "expected"),
        (f"https://tiktok.com.evil.example/@x/video/{ID}", "unknown_address", "expected"),
        (f"https://evil.example#.tiktok.com/@x/video/{ID}", "unknown_address", "expected"),
        ("javascript:alert(1)", "unknown_address", "expected"),
        ("file:///etc/passwd", "unknown_address", "expected"),
        ("https://[::1/", "unknown_address", "no address"),
        ("https://www.youtube.com/@somebody", "unknown_address", "watch"),
        ("https://youtu.be/short", "bad_id", "11 characters"),
        ("https://www.instagram.com/some.body/", "unknown_address", "reel"),
        ("@no name", "unknown_address", "@name"),
        ("@../../etc", "unknown_address", "@name"),
    ],
)
def test_what_is_no_address_says_what_would_have_been_right(text, reason, words):
    with pytest.raises(RowRefused) as refused:
        parse_address(text)
    assert refused.value.reason == reason
    assert words in refused.value.detail


def test_the_site_that_is_scraped_has_addresses_too():
    url = f"http://127.0.0.1:8765/@x/video/{ID}"
    assert parse_address(url, own_host="127.0.0.1:8765") == VIDEO
    with pytest.raises(RowRefused):
        parse_address(url, own_host="127.0.0.1:9999")


def test_an_account_or_a_sound_may_be_named_in_short():
    for text in ("some.body", "@some.body", "https://www.tiktok.com/@some.body"):
        assert read_account_name(text) == "some.body"
    for text in (SOUND.name, f"https://www.tiktok.com/music/a-{SOUND.name}"):
        assert read_sound_id(text) == SOUND.name
    with pytest.raises(RowRefused, match="no account"):
        read_account_name(f"https://www.tiktok.com/@x/video/{ID}")
    with pytest.raises(RowRefused, match="no sound"):
        read_sound_id("@x")


@given(st.text(max_size=60))
def test_any_text_is_an_address_or_refused(text):
    with suppress(RowRefused):
        assert parse_address(text).name
