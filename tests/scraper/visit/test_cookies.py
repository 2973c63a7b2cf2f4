import logging
import time

import pytest

from scraper.errors import BadCookies
from scraper.politeness import Site
from scraper.visit.cookies import Cookie, for_browser, for_file, own_cookies, read_cookies

LATER = 4_000_000_000
SITE = Site("https://www.tiktok.com", allow_live=True)
LINES = [
    "# Netscape HTTP Cookie File",
    "",
    f".tiktok.com\tTRUE\t/\tTRUE\t{LATER}\tsid_tt\ts3cret",
    "#HttpOnly_www.tiktok.com\tFALSE\t/foo\tFALSE\t0\tfoo\t",
    f"elsewhere.example\tFALSE\t/\tFALSE\t{LATER}\tother\ts3cret",
]


def cookie(domain="tiktok.com", **changes):
    facts = {
        "with_subdomains": True,
        "path": "/",
        "is_secure": False,
        "expires_s": 0,
        "name": "a",
        "value": "s3cret",
    }
    return Cookie(domain=domain, **(facts | changes))


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "cookies.txt"
    path.write_text("\n".join(LINES) + "\n")
    return path


def test_a_browsers_export_is_read(file):
    assert read_cookies(file) == [
        cookie(is_secure=True, expires_s=LATER, name="sid_tt"),
        cookie(
            "www.tiktok.com", with_subdomains=False, path="/foo", name="foo", value="",
            is_http_only=True,
        ),
        cookie("elsewhere.example", with_subdomains=False, expires_s=LATER, name="other"),
    ]  # fmt: skip


def test_what_is_written_is_read_again_the_same(file, tmp_path):
    cookies = read_cookies(file)
    copy = tmp_path / "copy.txt"
    copy.write_text(for_file(cookies))
    assert read_cookies(copy) == cookies


def test_lines_may_end_as_on_windows_and_expiries_be_of_a_session(tmp_path):
    path = tmp_path / "c.txt"
    path.write_bytes(
        b"\xef\xbb\xbfa.example\tfalse\t/\tfalse\t-1\tn\tv\r\n"
        b"a.example\tFALSE\t/\tFALSE\t4000000000.5\tm\tv\r\n"
    )
    assert [(c.name, c.value, c.expires_s) for c in read_cookies(path)] == [
        ("n", "v", 0),
        ("m", "v", LATER),
    ]


@pytest.mark.parametrize(
    "line",
    [
        ".tiktok.com TRUE / TRUE 0 a s3cret",
        ".tiktok.com\tYES\t/\tTRUE\t0\ta\ts3cret",
        ".tiktok.com\tTRUE\t/\t1\t0\ta\ts3cret",
        ".tiktok.com\tTRUE\tfoo\tTRUE\t0\ta\ts3cret",
        ".tiktok.com\tTRUE\t/\tTRUE\tnever\ta\ts3cret",
        ".tiktok.com\tTRUE\t/\tTRUE\t0\t\ts3cret",
        ".tiktok.com\tTRUE\t/\tTRUE\t0\ta\ts3cret; b=c",
        ".tiktok.com\tTRUE\t/\tTRUE\t0\ta\ts3cret\x01",
        "https://tiktok.com\tTRUE\t/\tTRUE\t0\ta\ts3cret",
        "\tTRUE\t/\tTRUE\t0\ta\ts3cret",
        '[{"name": "a", "value": "s3cret"}]',
    ],
)
def test_a_line_that_is_none_is_named_by_its_number_and_never_shown(tmp_path, line):
    path = tmp_path / "c.txt"
    path.write_text(f"{LINES[0]}\n\n{line}\n")
    with pytest.raises(BadCookies, match=r"c\.txt, line 3: ") as raised:
        read_cookies(path)
    assert "s3cret" not in str(raised.value)


def test_a_file_that_is_not_there_or_empty_is_named(tmp_path):
    with pytest.raises(BadCookies, match=r"c\.txt cannot be read: No such file"):
        read_cookies(tmp_path / "c.txt")
    (tmp_path / "c.txt").write_text(LINES[0])
    with pytest.raises(BadCookies, match="no cookie"):
        read_cookies(tmp_path / "c.txt")


@pytest.mark.parametrize(
    ("domain", "is_own"),
    [
        ("tiktok.com", True),
        ("www.tiktok.com", True),
        ("v16-webapp.tiktok.com", True),
        ("nottiktok.com", False),
        ("tiktok.com.example", False),
        ("tiktokcdn.com", False),
        ("com", False),
    ],
)
def test_only_the_sites_own_hosts_count(domain, is_own):
    kept = own_cookies([cookie(), cookie(domain, name="b")], SITE)
    assert [c.name for c in kept] == (["a", "b"] if is_own else ["a"])


def test_what_is_over_is_left_and_all_is_counted_without_a_value(caplog):
    caplog.set_level(logging.DEBUG)
    old = cookie(name="old", expires_s=int(time.time()) - 5)
    assert own_cookies([cookie(), old, cookie("x.example")], SITE) == [cookie()]
    assert "1 cookies for www.tiktok.com; left aside: 1 of other sites, 1" in caplog.text
    assert "s3cret" not in caplog.text + repr(old)
    with pytest.raises(BadCookies, match="none is of www"):
        own_cookies([old, cookie("x.example")], SITE)


def test_a_cookie_of_one_host_stays_that_hosts_alone():
    alone = for_browser(cookie("www.tiktok.com", with_subdomains=False, is_secure=True), SITE)
    assert (alone["url"], alone.get("domain")) == ("https://www.tiktok.com/", None)
    wide = for_browser(cookie(expires_s=LATER), SITE)
    assert (wide["domain"], wide["expires"], wide.get("url")) == ("tiktok.com", LATER, None)
