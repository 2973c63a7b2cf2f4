"""The browser as a certain visitor: cookies, a kept profile, a name, a language, a proxy."""

import logging
import os
import platform
import subprocess
import time
from pathlib import Path

import pytest

from catalog.errors import Busy
from scraper.errors import BadCookies, BrowserFailed, BrowserMissing, LiveSiteRefused
from scraper.politeness import Site
from scraper.settings import BrowserConfig
from scraper.visit.browser import open_browser
from scraper.visit.chromium import PID_FILE, start_driver
from scraper.visit.cookies import HEADER
from tests.programs import speaking, wait_until
from tests.scraper.proxies import proxy
from tests.scraper.visit.test_browser import list_all
from tests.scraper.visit.test_chromium import fake_driver, members

LATER = 4_000_000_000


@pytest.fixture
def asked(faulty):
    """What the page of "sports" was asked with, most recent last."""
    requests = []

    def note(request):
        if request.path == "/tag/sports":
            requests.append(request)

    faulty.fault = note
    return requests


@pytest.fixture
def kept(tmp_path):
    return tmp_path / "person"


def write_cookies(path, *lines):
    cells = ("\t".join((host, "FALSE", "/", "FALSE", str(LATER), *rest)) for host, *rest in lines)
    path.write_text("\n".join([HEADER, *cells]) + "\n")
    return path


def visit(live, profiles, **config):
    """List a little as that visitor; returns the browser, which is closed by then."""
    settings = BrowserConfig(profile_root=profiles, look_s=1.0, **config)
    site = Site(live.url, proxy=settings.proxy)
    with open_browser(settings, site) as browser:
        list_all(browser, "sports", limit=1)
        browser.open_cookies = browser._driver.execute_cdp_cmd("Network.getAllCookies", {})
    return browser


@pytest.mark.chromium
def test_the_sites_own_cookies_reach_it_and_no_others_go_in(
    live, profiles, asked, tmp_path, caplog
):
    caplog.set_level(logging.DEBUG)
    file = write_cookies(
        tmp_path / "c.txt",
        ("127.0.0.1", "sessionid", "s3cret"),
        ("localhost", "foreign", "s3cret"),
        ("elsewhere.example", "foreign", "s3cret"),
    )
    browser = visit(live, profiles, cookies=file)
    assert asked[0].cookies["sessionid"] == "s3cret"
    names = {(c["domain"], c["name"]) for c in browser.open_cookies["cookies"]}
    assert ("127.0.0.1", "sessionid") in names
    assert {domain for domain, _ in names} == {"127.0.0.1"}
    assert "s3cret" not in caplog.text


def test_a_bad_file_of_cookies_stops_before_the_first_visit(live, profiles, tmp_path):
    (tmp_path / "c.txt").write_text("nonsense")
    n_before = len(live.requests)
    with pytest.raises(BadCookies, match="line 1"):
        visit(live, profiles, cookies=tmp_path / "c.txt")
    assert len(live.requests) == n_before
    assert members(profiles) == []


@pytest.mark.chromium
def test_a_kept_profile_remembers_from_run_to_run(live, profiles, asked, kept, tmp_path):
    file = write_cookies(tmp_path / "c.txt", ("127.0.0.1", "sessionid", "abc"))
    visit(live, profiles, profile=kept, cookies=file)
    visit(live, profiles, profile=kept)
    assert [request.cookies.get("sessionid") for request in asked] == ["abc", "abc"]
    assert list(profiles.iterdir()) == []
    assert (kept / "Local State").exists()
    assert members(profiles) == []
    visit(live, profiles)
    assert "sessionid" not in asked[-1].cookies


@pytest.mark.chromium
def test_the_name_and_the_language_are_what_the_site_sees(live, profiles, asked):
    agent = "Mozilla/5.0 (viewcast test)"
    browser = visit(live, profiles, user_agent=agent, language="en-DE,de")
    assert browser.user_agent == agent
    assert asked[0].headers["user-agent"] == agent
    tags = asked[0].headers["accept-language"].split(",")
    assert [tag.partition(";")[0] for tag in tags if tag != "en;q=0.9"] == ["en-DE", "de"]
    assert asked[0].query["lang"] == "en"


@pytest.mark.chromium
@pytest.mark.parametrize("scheme", ["http", "socks5"])
def test_pages_and_robots_are_asked_through_the_proxy(live, profiles, asked, scheme):
    with proxy(scheme) as through:
        n_before = len(live.requests)
        visit(live, profiles, proxy=through.url)
        n_asked = len(live.requests) - n_before
    assert len(asked) == 1
    if scheme == "http":
        assert len(through.passed) >= n_asked  # the log is written before it is answered
        assert through.passed[0] == f"{live.url}/robots.txt"
    assert all(f"127.0.0.1:{live.port}" in passed for passed in through.passed)
    assert through.passed


def test_a_site_on_this_machine_is_asked_through_no_proxy_elsewhere(live):
    with pytest.raises(LiveSiteRefused, match=r"proxy\.example is not"):
        Site(live.url, proxy="http://proxy.example:8080")
    Site(live.url, proxy="http://127.0.0.1:1")
    Site("https://www.tiktok.com", allow_live=True, proxy="http://proxy.example:8080")


def test_a_program_that_is_not_there_is_named(live, profiles, tmp_path):
    with pytest.raises(BrowserMissing, match="no-such-browser"):
        visit(live, profiles, binary=tmp_path / "no-such-browser")


@pytest.mark.chromium
def test_another_program_may_be_the_browser(live, profiles, asked, tmp_path):
    program = tmp_path / "mine"
    program.write_text(f'#!/bin/sh\necho run >>{tmp_path}/said\nexec chromium "$@"\n')
    program.chmod(0o755)
    visit(live, profiles, binary=program)
    assert (tmp_path / "said").exists()
    assert asked


def test_a_window_needs_a_display(profiles, monkeypatch):
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(BrowserFailed, match="display"), start_driver(profiles, is_headful=True):
        pass


def test_a_window_is_told_where_the_display_is(profiles, tmp_path, monkeypatch):
    words = "echo ChromeDriver was started successfully on port 5.; exec sleep 1000"
    fake_driver(tmp_path, monkeypatch, words)
    monkeypatch.setenv("DISPLAY", ":7")
    for is_headful in (True, False):
        with start_driver(profiles, is_headful=is_headful) as driver:
            said = Path(f"/proc/{driver.pid}/environ").read_bytes()
        assert (b"DISPLAY=:7\0" in said) == is_headful


CHILD = """
import signal, sys
from pathlib import Path
from scraper.visit.browser import open_browser
from scraper.politeness import Site
from scraper.settings import BrowserConfig
config = BrowserConfig(profile_root=Path(sys.argv[1]), profile=Path(sys.argv[2]))
with open_browser(config, Site("http://127.0.0.1:1")):
    sys.stdout.write("up\\n")
    sys.stdout.flush()
    signal.pause()
"""


@pytest.mark.chromium
def test_a_kept_profile_is_free_again_after_a_kill(live, profiles, kept, asked):
    with speaking(CHILD, str(profiles), str(kept)) as program:
        assert program.stdout.readline() == b"up\n"
        with pytest.raises(Busy, match=str(program.pid)):
            visit(live, profiles, profile=kept)
        # Chromium's own mark is there, and stays: its process is not asked to leave.
        assert (kept / "SingletonLock").is_symlink()
        program.kill()
    wait_until(lambda: members(profiles) == [])
    visit(live, profiles, profile=kept)
    assert len(asked) == 1
    assert list(profiles.iterdir()) == []


# --- a kept profile


@pytest.fixture
def fake(tmp_path, monkeypatch):
    words = "echo ChromeDriver was started successfully on port 5.; exec sleep 1000"
    fake_driver(tmp_path, monkeypatch, words)


def test_two_runs_do_not_share_a_profile(profiles, kept, fake):
    with start_driver(profiles, kept=kept) as driver:
        assert driver.user_data == kept
        with pytest.raises(Busy, match=f"{os.getpid()}"), start_driver(profiles, kept=kept):
            pass
    with start_driver(profiles, kept=kept):
        pass


def test_a_profile_that_some_browser_has_is_left_to_it(profiles, kept, fake):
    kept.mkdir()
    mark = kept / "SingletonLock"
    with subprocess.Popen(["sleep", "1000"]) as other:
        mark.symlink_to(f"{platform.node()}-{other.pid}")
        with pytest.raises(Busy, match=f"process {other.pid}"), start_driver(profiles, kept=kept):
            pass
        assert mark.is_symlink()
        other.kill()
    for name in ("SingletonCookie", "SingletonSocket"):
        (kept / name).symlink_to("nowhere")
    with start_driver(profiles, kept=kept):
        assert not any(path.name.startswith("Singleton") for path in kept.iterdir())


def test_a_mark_is_void_when_its_number_is_another_programs(profiles, kept, fake):
    kept.mkdir()
    mark = kept / "SingletonLock"
    mark.symlink_to(f"{platform.node()}-{os.getpid()}")
    old_s = time.time() - 30 * 24 * 3600.0
    os.utime(mark, (old_s, old_s), follow_symlinks=False)
    with start_driver(profiles, kept=kept):
        assert not mark.is_symlink()


def test_a_mark_of_another_machine_stays(profiles, kept, fake):
    kept.mkdir()
    (kept / "SingletonLock").symlink_to("elsewhere-1")
    with pytest.raises(Busy, match="elsewhere"), start_driver(profiles, kept=kept):
        pass
    assert (kept / "SingletonLock").is_symlink()


def test_cleaning_up_never_takes_a_kept_profile_or_a_folder_of_ones_own(profiles, fake):
    kept, own = profiles.parent / f"{profiles.name}-kept" / "person", profiles / "pictures"
    own.mkdir()
    (own / "cat.png").touch()
    os.utime(own, (1, 1))
    with start_driver(profiles, kept=kept):
        (kept / "Cookies").touch()
    os.utime(kept, (1, 1))
    # The root of other runs may be the folder that it lies in.
    with start_driver(kept.parent):
        pass
    with start_driver(profiles):
        pass
    assert (kept / "Cookies").exists()
    assert not (kept / PID_FILE).exists()
    assert (own / "cat.png").exists()
    for path in (kept / "Cookies", kept, kept.parent):
        path.unlink() if path.is_file() else path.rmdir()


def test_a_kept_profile_among_those_that_are_removed_is_refused(profiles, fake):
    with (
        pytest.raises(BrowserFailed, match=r"browser\.profile"),
        start_driver(profiles, kept=profiles / "me"),
    ):
        pass
