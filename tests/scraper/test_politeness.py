from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread

import pytest

from scraper.errors import BadId, LiveSiteRefused, NotAllowed, RobotsUnread
from scraper.politeness import LIVE_DAILY_PAGES, PAUSES_S, Site
from scraper.settings import SiteLimits

VIDEO = "7571863205253778710"


@pytest.fixture
def robots():
    """A server that answers every request with what the test puts here."""
    answer = {"status": 200, "text": "", "asked": []}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            answer["asked"].append(self.path)
            body = answer["text"].encode()
            self.send_response(answer["status"])
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_args):
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        answer["url"] = f"http://127.0.0.1:{server.server_address[1]}"
        yield answer
        server.shutdown()
        thread.join()


@pytest.mark.parametrize(
    "url",
    [
        "https://www.tiktok.com",
        "https://127.0.0.1.example.com",
        "http://10.0.0.1",
        "http://[::2]",
        "https://localhost.example.com",
        "127.0.0.1",
        "",
    ],
)
def test_a_site_elsewhere_needs_leave(url):
    with pytest.raises(LiveSiteRefused, match="allow_live"):
        Site(url)


@pytest.mark.parametrize("url", ["http://127.0.0.1:8765/", "http://localhost", "http://[::1]:80"])
def test_a_site_on_this_machine_needs_none(url):
    assert Site(url).is_loopback


@pytest.mark.parametrize(
    "url",
    [
        "http://www.tiktok.com",
        "ftp://127.0.0.1",
        "https://me:pw@www.tiktok.com",
        "https://a.b/x",
        "http://[::1",
        "http://127.0.0.1:99999",
        "http://127.0.0.1:a",
    ],
)
def test_an_address_that_is_no_site_is_refused_even_with_leave(url):
    with pytest.raises(LiveSiteRefused, match="no site address"):
        Site(url, allow_live=True)


def test_addresses_are_made_from_names_and_ids_alone():
    site = Site("http://127.0.0.1:1/")
    assert site.listing_url("hashtag", "中国/../x") == (
        "http://127.0.0.1:1/tag/%E4%B8%AD%E5%9B%BD%2F..%2Fx?lang=en"
    )
    assert site.video_url(VIDEO) == f"http://127.0.0.1:1/@/video/{VIDEO}?lang=en"
    with pytest.raises(BadId):
        site.video_url("../etc/passwd")


@pytest.mark.parametrize(
    ("url", "is_allowed"),
    [
        ("https://v16-webapp-prime.tiktok.com/video/tos/x", True),
        ("https://v19.us.tiktokcdn.com:443/x", True),
        ("https://www.tiktok.com/aweme/v1/play/", False),
        ("http://v16.tiktok.com/x", False),
        ("https://v16.tiktok.com:8443/x", False),
        ("https://me@v16.tiktok.com/x", False),
        ("https://evil-tiktok.com/x", False),
        ("https://tiktok.com.evil.example/x", False),
        ("https://127.0.0.1/x", False),
        ("file:///etc/passwd", False),
        ("https://v16.tiktok.com:99999/x", False),
        ("https://[broken/x", False),
    ],
)
def test_files_come_from_the_live_sites_hosts_only(url, is_allowed):
    assert Site("https://www.tiktok.com", allow_live=True).is_allowed_media_url(url) is is_allowed


def test_files_of_a_site_on_this_machine_come_from_its_port_only():
    site = Site("http://127.0.0.1:5")
    assert site.is_allowed_media_url("http://127.0.0.1:5/video/x")
    assert not site.is_allowed_media_url("http://127.0.0.1:6/video/x")
    assert not site.is_allowed_media_url("http://[broken")


def test_the_live_sites_names_may_not_lead_into_our_own_network():
    live, here = Site("https://www.tiktok.com", allow_live=True), Site("http://127.0.0.1:5")
    assert live.is_allowed_peer("23.1.2.3")
    assert not any(map(live.is_allowed_peer, ["127.0.0.1", "10.1.2.3", "169.254.169.254", "x"]))
    assert here.is_allowed_peer("127.0.0.1")
    assert not here.is_allowed_peer("23.1.2.3")


def test_cookies_go_to_the_sites_own_domain_only():
    site = Site("https://www.tiktok.com", allow_live=True)
    assert site.may_see_cookies("https://v16.tiktok.com/x")
    assert not site.may_see_cookies("https://v16.tiktokcdn.com/x")
    assert not site.may_see_cookies("https://eviltiktok.com/x")


def test_what_robots_txt_forbids_is_not_visited(robots):
    robots["text"] = "User-agent: *\nDisallow: /@*/live$\nDisallow: /api/\n"
    site = Site(robots["url"])
    site.require_allowed(site.video_url(VIDEO))
    for path in ("/api/x", "/@a/live"):
        with pytest.raises(NotAllowed, match="forbids"):
            site.require_allowed(robots["url"] + path)


def test_a_site_without_robots_txt_allows_everything(robots):
    robots["status"] = 404
    site = Site(robots["url"])
    for path in ("/api/", "/@a/live"):
        site.require_allowed(robots["url"] + path)
    assert robots["asked"] == ["/robots.txt"]  # it was looked for, and once


@pytest.mark.parametrize("status", [500, 503, 403, 301])
def test_robots_txt_that_cannot_be_read_forbids_everything(robots, status):
    robots["status"] = status
    with pytest.raises(RobotsUnread, match=str(status)):
        Site(robots["url"]).require_allowed(robots["url"])


def test_a_site_that_is_not_there_is_not_visited():
    with pytest.raises(NotAllowed, match="could not be read"):
        Site("http://127.0.0.1:1").require_allowed("http://127.0.0.1:1/")


def test_pauses_are_for_live_sites_and_not_before_the_first_visit():
    waits = []
    Site("http://127.0.0.1:1", sleep=waits.append).pause("page")
    live = Site("https://www.tiktok.com", allow_live=True, sleep=waits.append)
    live.pause("page")
    assert waits == []
    live.pause("scroll")
    (wait_s,) = waits
    low_s, high_s = PAUSES_S["scroll"]
    assert low_s - 1 < wait_s <= high_s


def test_pages_are_counted_and_nothing_else():
    site = Site("http://127.0.0.1:1")
    for occasion in ("page", "scroll", "download", "page"):
        site.pause(occasion)
    assert site.n_visits == 2


def test_what_the_site_asks_for_is_waited_for_on_this_machine_too():
    waits = []
    Site("http://127.0.0.1:1", sleep=waits.append).wait(7.0)
    assert waits == [7.0]


def test_a_live_site_has_a_daily_budget_even_if_nobody_sets_one():
    live = Site("https://www.tiktok.com", allow_live=True)
    assert (live.name, live.daily_pages) == ("www.tiktok.com", LIVE_DAILY_PAGES)
    assert Site("http://127.0.0.1:1").daily_pages is None
    for url in ("https://www.tiktok.com", "http://127.0.0.1:1"):
        assert Site(url, allow_live=True, limits=SiteLimits(daily_pages=9)).daily_pages == 9


def test_a_live_site_comes_with_a_notice():
    notice = Site("https://www.tiktok.com", allow_live=True).notice
    for words in ("www.tiktok.com", "terms", "robots.txt", "8 to 20 seconds", "1500 a day"):
        assert words in notice
    assert Site("http://127.0.0.1:1").notice is None
