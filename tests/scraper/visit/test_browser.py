import json
import os
import shutil
import signal
import zlib
from pathlib import Path

import httpx
import pytest
from selenium.common.exceptions import UnexpectedAlertPresentException

from scraper.counts import parse_views_k
from scraper.errors import (
    BadId,
    Blocked,
    BrowserFailed,
    BrowserMissing,
    NoSuchAccount,
    NoSuchHashtag,
    NoSuchSound,
    NotAllowed,
    PageChanged,
    PageTimeout,
    PrivateAccount,
    SiteFailed,
    VideoGone,
)
from scraper.politeness import Site
from scraper.replica.content import ReplicaConfig
from scraper.replica.edits import is_struck
from scraper.replica.faults import make_fault
from scraper.replica.items import round_count, show_count
from scraper.replica.messages import Reply
from scraper.replica.server import Replica
from scraper.replica.site import card_variant
from scraper.settings import BrowserConfig
from scraper.visit.browser import MAX_DIALOGS, Eyes, document_header, open_browser, scroll
from scraper.visit.capture import NUDGE, SCROLL
from scraper.visit.listing import ALL, ListingBuilder, Window
from scraper.visit.page import ListingPage
from tests.programs import HANG_S
from tests.scraper.test_items import item
from tests.scraper.visit.test_chromium import members
from tests.scraper.visit.test_listing import CATS, make_id


def entry(method, kind, **headers):
    params = {"type": kind, "response": {"headers": headers}}
    return json.dumps({"message": {"method": method, "params": params}, "webview": "x"})


def test_a_pages_own_header_is_found_among_what_the_browser_noted():
    noted = [
        entry("Network.requestWillBeSent", "Document"),
        entry("Network.responseReceived", "Document", **{"Retry-After": "1"}),
        entry("Network.responseReceived", "Document", **{"retry-AFTER": "7"}),
        entry("Network.responseReceived", "Image", **{"Retry-After": "9"}),
    ]
    assert document_header(noted, "retry-after") == "7"


def test_a_header_that_is_not_there_is_empty():
    assert document_header([entry("Network.responseReceived", "Document")], "retry-after") == ""
    assert document_header([], "retry-after") == ""


class FakeDriver:
    """Shows what was laid ready, one after the other, the last for ever; errors are raised."""

    def __init__(self, *shown):
        self.shown = list(shown)
        self.known = []
        self.scrolled = []

    def execute_async_script(self, _script, _key, _wait_ms, *known):
        self.known.append(known)
        found = self.shown.pop(0) if len(self.shown) > 1 else self.shown[0]
        if isinstance(found, Exception):
            raise found
        return found

    def execute_script(self, script):
        self.scrolled.append(script)


def shown(*numbers, page=1.0, more=True, **rest):
    """What the script brings: one body with these videos, none without."""
    body = {"itemList": [item(id=make_id(n)) for n in numbers], "hasMore": more}
    bodies = [{"url": "/api/challenge/item_list/", "status": 200, "body": json.dumps(body)}]
    return {"bodies": bodies if numbers else [], "page": page, "title": "#cats"} | rest


def scroll_with(driver, *, limit=100, **config):
    builder = ListingBuilder(CATS, limit)
    eyes, site = Eyes(driver, "key", 0.0), Site("http://127.0.0.1:9")
    taken = []
    stop = scroll(
        eyes, builder, CATS, BrowserConfig(**config), lambda: taken.append(builder.n_ids), site
    )
    return stop, taken


def test_each_look_is_taken_and_the_page_scrolled_until_its_end():
    driver = FakeDriver(shown(1, 2), shown(3), shown(4, more=False))
    assert scroll_with(driver) == ("end", [2, 3, 4])
    assert driver.scrolled == [SCROLL, SCROLL]


def test_a_page_that_stands_still_is_nudged_and_then_left(monkeypatch):
    monkeypatch.setattr("scraper.visit.browser.MAX_STALLS", 2)
    driver = FakeDriver(shown(1), shown())
    assert scroll_with(driver) == ("stalled", [1, 1, 1])
    assert driver.scrolled == [SCROLL, NUDGE]


def test_the_time_for_one_hashtag_has_an_end():
    assert scroll_with(FakeDriver(shown(1)), listing_s=1e-9) == ("timeout", [1])


def test_the_page_is_told_what_has_arrived_until_it_is_another_page():
    driver = FakeDriver(shown(1), shown(2), shown(3, page=2.0), shown(4, more=False, page=2.0))
    scroll_with(driver)
    # Cards seen, page, bodies that have arrived.
    assert driver.known == [(0, 0.0, 0), (0, 1.0, 1), (0, 1.0, 2), (0, 2.0, 1)]


@pytest.mark.parametrize(
    ("still", "error"),
    [
        ({"login": True}, Blocked),
        ({"pending": 1}, SiteFailed),
    ],
)
def test_a_standstill_with_a_reason_is_no_end(still, error):
    with pytest.raises(error):
        scroll_with(FakeDriver(shown(1), shown(**still)))


def test_a_page_without_any_video_says_why_or_has_changed():
    with pytest.raises(PageChanged):
        scroll_with(FakeDriver(shown()))
    with pytest.raises(Blocked):
        scroll_with(FakeDriver(shown(title="")))


def test_dialogs_cost_nothing_but_time():
    dialog = UnexpectedAlertPresentException("rate this page")
    driver = FakeDriver(dialog, None, shown(1, more=False))
    assert scroll_with(driver) == ("end", [1])


def test_a_page_that_never_stops_opening_dialogs_costs_the_browser():
    driver = FakeDriver(UnexpectedAlertPresentException("rate this page"))
    with pytest.raises(BrowserFailed, match=f"interrupted {MAX_DIALOGS} times"):
        scroll_with(driver)


def ignore(_n):
    pass


def list_all(browser, name, limit=1_000):
    """List a hashtag, or any page that is given as one."""
    page = ListingPage("hashtag", name) if isinstance(name, str) else name
    return browser.list_page(
        page, limit=limit, window=ALL, keep=ignore, keep_about=ignore, on_progress=ignore
    )


@pytest.mark.chromium
@pytest.mark.parametrize("name", ["sports", "dance"])
def test_lists_every_video_of_a_hashtag_with_its_count(live, shared_browser, name):
    progress = []
    kept = []
    listing = shared_browser.list_page(
        ListingPage("hashtag", name),
        limit=1_000,
        window=ALL,
        keep=kept.extend,
        keep_about=ignore,
        on_progress=progress.append,
    )
    videos = live.content.by_tag[name]
    assert [s.tiktok_id for s in listing.sightings] == [v.tiktok_id for v in videos]
    assert (listing.stop_reason, dict(listing.rejected)) == ("end", {})
    assert listing.sources == {"xhr": len(videos)}
    assert progress[-1] == len(videos)
    assert {s.tiktok_id: s for s in kept} == {s.tiktok_id: s for s in listing.sightings}
    assert len(kept) == len(videos)
    for sighting, video in zip(listing.sightings, videos, strict=True):
        assert (sighting.caption, sighting.handle) == (video.caption, video.handle)
        assert set(sighting.hashtags) == set(video.hashtags)
        assert (sighting.width_px, sighting.height_px) == (video.width_px, video.height_px)
        assert sighting.posted_at == video.created_at
        assert abs(sighting.views_k - video.views / 1_000) <= sighting.step_k / 2 + 1e-9


@pytest.mark.chromium
def test_what_is_displayed_is_the_cards_text_or_else_the_jsons_digits(live, shared_browser):
    assert {card_variant(name) for name in ("sports", "dance")} == {"A", "B"}
    for name in ("sports", "dance"):
        sightings = list_all(shared_browser, name, limit=30).sightings
        assert sightings
        for sighting in sightings:
            views = live.content.by_id[sighting.tiktok_id].views
            is_on_card = card_variant(name) == "A"
            wanted = show_count(views) if is_on_card else str(round_count(views))
            assert sighting.display_text == wanted
            if is_on_card:
                assert parse_views_k(wanted).views_k == pytest.approx(sighting.views_k)


@pytest.mark.chromium
def test_stops_at_the_limit_without_asking_for_more(live, shared_browser):
    n_before = len(live.requests)
    listing = list_all(shared_browser, "pets", limit=12)
    assert (len(listing.sightings), listing.stop_reason) == (12, "limit")
    asked = [r.path for r in live.requests[n_before:]]
    assert asked.count("/api/challenge/item_list/") <= 2  # the page asks ahead of our scrolling


@pytest.mark.chromium
def test_an_unknown_hashtag_is_told(shared_browser):
    with pytest.raises(NoSuchHashtag, match=r"no (such )?hashtag"):
        list_all(shared_browser, "nonsense")


def busiest(live):
    """The account with the most videos."""
    handle = max(live.content.by_handle, key=lambda name: len(live.content.by_handle[name]))
    return next(a for a in live.content.accounts if a.handle == handle)


@pytest.mark.chromium
def test_lists_every_video_of_an_account_with_what_its_page_counts(live, shared_browser):
    account = busiest(live)
    videos = live.content.by_handle[account.handle]
    kept = []  # what the page says of its account comes before the first video
    listing = shared_browser.list_page(
        ListingPage("account", account.handle),
        limit=1_000,
        window=ALL,
        keep=kept.extend,
        keep_about=kept.append,
        on_progress=ignore,
    )
    assert [s.tiktok_id for s in listing.sightings] == [v.tiktok_id for v in videos]
    assert (listing.stop_reason, dict(listing.rejected)) == ("end", {})
    # Its cards always show counts, which are the JSON's.
    assert listing.sources == {"xhr": len(videos)}
    assert [s.display_text for s in listing.sightings] == [show_count(v.views) for v in videos]
    assert {s.handle for s in listing.sightings} == {account.handle}
    about = listing.about
    assert (about, "hydration") == (kept[0], about.source)
    assert about.account.n_followers == round_count(account.followers)
    assert about.account.n_following == account.following
    assert about.account.n_posts == len(videos)
    assert about.account.is_verified is account.is_verified
    assert about.account.bio_chars == len(account.signature)
    assert about.account.region == account.region


@pytest.mark.chromium
@pytest.mark.parametrize("is_inlined", [True, False])
def test_lists_every_video_of_a_sound_with_how_many_use_it(live, shared_browser, is_inlined):
    by_size = sorted(live.content.by_sound, key=lambda n: -len(live.content.by_sound[n]))
    name = next(n for n in by_size if (zlib.crc32(n.encode()) % 2 == 0) == is_inlined)
    videos = live.content.by_sound[name]
    listing = list_all(shared_browser, ListingPage("sound", name))
    assert [s.tiktok_id for s in listing.sightings] == [v.tiktok_id for v in videos]
    assert listing.stop_reason == "end"
    assert listing.about.source == ("hydration" if is_inlined else "xhr")
    sound = listing.about.sound
    assert (sound.platform_id, sound.title) == (name, videos[0].music.title)
    assert sound.n_videos == live.site.timeline.uses(videos[0].music)
    assert {s.sound.platform_id for s in listing.sightings} == {name}


@pytest.fixture
def struck(live):
    """Lets the busiest account or the most used sound misbehave, for one test."""
    pages = []

    def strike(kind, fault):
        name = busiest(live).handle
        if kind == "sound":
            name = max(live.content.by_sound, key=lambda n: len(live.content.by_sound[n]))
        page = ListingPage(kind, name)
        subject = f"@{name}" if kind == "account" else f"sound:{name}"
        pages.append(subject)
        live.site.set_fault(subject, fault)
        return page

    yield strike
    for subject in pages:
        live.site.set_fault(subject, None)


@pytest.mark.chromium
@pytest.mark.parametrize("kind", ["account", "sound"])
@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ("empty_body:0", Blocked),
        ("captcha:0", Blocked),
        ("login_wall", Blocked),
        ("forbidden", Blocked),
        ("rate_limit:30,after=0", Blocked),
        ("server_error", SiteFailed),
        ("waf_wait", Blocked),
        ("no_such_hashtag", (NoSuchAccount, NoSuchSound)),
    ],
)
def test_a_page_of_an_account_or_a_sound_that_refuses_is_known_for_it(
    shared_browser, struck, kind, fault, error
):
    with pytest.raises(error):
        list_all(shared_browser, struck(kind, fault))


@pytest.mark.chromium
def test_an_accounts_page_is_read_from_what_there_is(live, shared_browser, struck):
    videos = live.content.by_handle[busiest(live).handle]
    for fault, source in (("dom_only", "dom"), ("hydration_only", "hydration")):
        listing = list_all(shared_browser, struck("account", fault))
        assert listing.sources == {source: len(videos)}
        assert listing.about.account.n_posts == len(videos)
    for sighting, video in zip(listing.sightings, videos, strict=True):
        assert (sighting.tiktok_id, sighting.handle) == (video.tiktok_id, video.handle)


@pytest.mark.chromium
def test_an_account_is_left_where_what_follows_is_too_old(live, shared_browser):
    account = busiest(live)
    videos = live.content.by_handle[account.handle]
    newest = sorted((v.created_at for v in videos), reverse=True)
    window = Window(since=newest[4], until=newest[1])
    listing = shared_browser.list_page(
        ListingPage("account", account.handle),
        limit=1_000,
        window=window,
        keep=ignore,
        keep_about=ignore,
        on_progress=ignore,
    )
    assert listing.stop_reason == "since"
    wanted = {v.tiktok_id for v in videos if newest[4] <= v.created_at < newest[1]}
    assert {s.tiktok_id for s in listing.sightings} == wanted
    assert listing.rejected["after_until"] == 2
    assert listing.rejected["before_since"] > 0


@pytest.mark.chromium
def test_an_account_or_a_sound_that_is_not_to_be_had_is_told(live, shared_browser):
    private = live.content.accounts[-1].handle
    for page, error in (
        (ListingPage("account", "nobody.at.all"), NoSuchAccount),
        (ListingPage("account", private), PrivateAccount),
        (ListingPage("sound", "7571863205253778710"), NoSuchSound),
    ):
        with pytest.raises(error) as told:
            list_all(shared_browser, page)
        # What is written down of an account does not name it.
        assert page.kind == "sound" or page.name not in str(told.value)


@pytest.mark.chromium
def test_opens_a_videos_page_and_may_fetch_its_file(live, shared_browser):
    video = min(live.content.videos, key=lambda v: v.duration_s)
    page = shared_browser.open_video(video.tiktok_id)
    assert page.sighting.caption == video.caption
    reply = httpx.get(
        page.play_urls[0].url,
        cookies=shared_browser.cookies(),
        headers={"User-Agent": shared_browser.user_agent, "Referer": f"{live.url}/"},
        trust_env=False,
        timeout=HANG_S,
    )
    assert (reply.status_code, len(reply.content)) == (200, page.play_urls[0].n_bytes)


@pytest.mark.chromium
def test_a_video_that_is_gone_is_told(shared_browser):
    with pytest.raises(VideoGone):
        shared_browser.open_video("7571863205253778710")
    with pytest.raises(BadId):
        shared_browser.open_video("7571863205253778710/../../x")


@pytest.mark.chromium
def test_it_asks_for_robots_first_and_for_no_pictures_or_files(clips, profiles):
    with Replica(ReplicaConfig(videos_per_tag=2), clips) as replica:
        config = BrowserConfig(profile_root=profiles)
        with open_browser(config, Site(replica.url)) as browser:
            list_all(browser, "sports")
            browser.open_video(replica.content.videos[0].tiktok_id)
        paths = [r.path for r in replica.requests]
        assert paths[0] == "/robots.txt"
        assert not [p for p in paths if p.startswith(("/obj/", "/video/tos/"))]
        agents = {r.user_agent for r in replica.requests if r.path != "/robots.txt"}
        assert agents == {browser.user_agent}
    assert members(profiles) == []


@pytest.mark.chromium
def test_what_robots_forbids_is_not_opened(live, profiles, monkeypatch):
    monkeypatch.setattr("scraper.replica.site.ROBOTS", "User-agent: viewcast\nDisallow: /tag/\n")
    n_before = len(live.requests)
    with open_browser(BrowserConfig(profile_root=profiles), Site(live.url)) as browser:
        with pytest.raises(NotAllowed):
            list_all(browser, "sports")
        assert [r.path for r in live.requests[n_before:]] == ["/robots.txt"]


@pytest.mark.chromium
@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (Reply(200, b"", "application/json"), Blocked),
        (Reply(200, b'{"type": "verify"}', "application/json"), Blocked),
        (Reply(429, b"slow down", "text/plain"), Blocked),
        (Reply(503, b"busy", "text/plain"), SiteFailed),
        (Reply(200, b"<html>", "text/html"), PageChanged),
    ],
)
def test_a_listing_that_is_refused_stops_the_hashtag(shared_browser, faulty, answer, error):
    faulty.fault = lambda request: answer if "item_list" in request.path else None
    with pytest.raises(error):
        list_all(shared_browser, "sports")
    # The browser is as good as before.
    assert len(list_all(shared_browser, "comedy", limit=30).sightings) == 30


@pytest.mark.chromium
def test_what_came_before_a_block_is_kept(shared_browser, faulty):
    no = Reply(403, b"no", "text/plain")
    faulty.fault = lambda request: no if request.query.get("cursor") == "30" else None
    listing = list_all(shared_browser, "sports")
    assert (len(listing.sightings), listing.stop_reason) == (30, "blocked")
    assert (listing.error.mark, listing.error.retry_after_s) == ("forbidden", None)


@pytest.mark.chromium
@pytest.mark.parametrize(
    ("fault", "mark", "wish_s", "n_kept"),
    [
        ("rate_limit:7", "rate_limited", 7.0, 30),
        ("rate_limit:9,after=0", "rate_limited", 9.0, 0),
        ("empty_body", "empty", None, 30),
        ("verify_json", "verify", None, 30),
        ("captcha", "captcha", None, 30),
        ("captcha:0", "captcha", None, 0),
        ("login_wall", "login", None, 0),
        ("login_modal:1,behind=0", "login", None, 30),
        ("waf_wait", "waf", None, 0),
        ("forbidden", "forbidden", None, 0),
    ],
)
def test_each_refusal_is_known_by_its_mark(shared_browser, faulty, fault, mark, wish_s, n_kept):
    faulty.fault = make_fault(fault)
    kept = []
    try:
        listing = shared_browser.list_page(
            ListingPage("hashtag", "sports"),
            limit=1_000,
            window=ALL,
            keep=kept.extend,
            keep_about=ignore,
            on_progress=ignore,
        )
        error = listing.error
    except Blocked as raised:
        error = raised
    assert isinstance(error, Blocked)
    assert (error.mark, error.retry_after_s, len(kept)) == (mark, wish_s, n_kept)


@pytest.mark.chromium
@pytest.mark.parametrize(
    ("fault", "source"), [("dom_only", "dom"), ("hydration_only", "hydration")]
)
def test_a_listing_without_requests_is_read_from_what_there_is(
    live, shared_browser, faulty, fault, source
):
    faulty.fault = make_fault(fault)
    listing = list_all(shared_browser, "sports")
    videos = live.content.by_tag["sports"]
    assert [s.tiktok_id for s in listing.sightings] == [v.tiktok_id for v in videos]
    assert (listing.stop_reason, dict(listing.sources)) == ("stalled", {source: len(videos)})
    for sighting, video in zip(listing.sightings, videos, strict=True):
        assert sighting.display_text in (show_count(video.views), str(round_count(video.views)))
        assert abs(sighting.views_k - video.views / 1_000) <= sighting.step_k / 2 + 1e-9


@pytest.mark.chromium
@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("ad", "ad"),
        ("photo_post", "photo"),
        ("live_room", "live"),
        ("private", "private"),
        ("removed", "taken_down"),
        ("path_id", "bad_id"),
    ],
)
def test_what_is_no_public_video_is_counted_by_its_reason(
    live, shared_browser, faulty, fault, reason
):
    faulty.fault = make_fault(fault)
    listing = list_all(shared_browser, "sports")
    odd = {v.tiktok_id for i, v in enumerate(live.content.by_tag["sports"]) if is_struck(i)}
    assert dict(listing.rejected) == {reason: len(odd)}
    assert not odd & {s.tiktok_id for s in listing.sightings}
    assert len(listing.sightings) + len(odd) == len(live.content.by_tag["sports"])


@pytest.mark.chromium
@pytest.mark.parametrize("fault", ["alert", "beforeunload", "lone_surrogate", "nul", "pinned"])
def test_what_annoys_a_visitor_costs_nothing(live, shared_browser, faulty, fault):
    faulty.fault = make_fault(fault)
    listing = list_all(shared_browser, "sports")
    assert len(listing.sightings) == len(live.content.by_tag["sports"])
    assert listing.stop_reason == "end"
    assert not any("\0" in s.caption for s in listing.sightings)


@pytest.mark.chromium
@pytest.mark.parametrize(
    ("fault", "stop", "n_kept"),
    [("endless_more", "stalled", 30), ("deep_json", "broken", 30), ("endless_body", "broken", 30)],
)
def test_a_listing_that_never_ends_is_left_with_what_it_gave(
    shared_browser, faulty, fault, stop, n_kept
):
    faulty.fault = make_fault(fault)
    listing = list_all(shared_browser, "sports")
    assert (listing.stop_reason, len(listing.sightings)) == (stop, n_kept)


@pytest.mark.chromium
@pytest.mark.parametrize("fault", ["crash", "infinite_js"])
def test_a_browser_lost_in_the_middle_gives_what_it_had_and_says_that_it_is_lost(
    live, profiles, faulty, fault
):
    faulty.fault = make_fault(fault)
    config = BrowserConfig(
        profile_root=profiles, look_s=1.0, page_s=12.0, script_s=5.0, command_s=20.0
    )
    with open_browser(config, Site(live.url)) as browser:
        assert not browser.is_lost
        listing = list_all(browser, "sports")
        assert browser.is_lost
    assert (listing.stop_reason, len(listing.sightings)) == ("crashed", 30)
    assert isinstance(listing.error, BrowserFailed)
    assert members(profiles) == []


@pytest.mark.chromium
@pytest.mark.parametrize(
    ("html", "error"),
    [
        (b"<title>TikTok</title><div id='tiktok-verify-ele'></div>", Blocked),
        (b"<title>Access Denied</title>", Blocked),
        (b"<title>Please wait...</title><p id='cs' class='BASE64'></p>", Blocked),
        (b"<title>TikTok</title><p>Something went wrong</p>", SiteFailed),
        (b"<title>TikTok</title><div id='app'></div>", PageChanged),
    ],
)
def test_a_page_that_is_no_listing_stops_the_hashtag(shared_browser, faulty, html, error):
    faulty.fault = lambda request: Reply(200, html) if request.path.startswith("/tag/") else None
    with pytest.raises(error):
        list_all(shared_browser, "sports")


@pytest.mark.chromium
def test_a_page_that_leads_elsewhere_is_not_read(shared_browser, faulty):
    faulty.fault = lambda _: Reply(302, headers=(("Location", "http://elsewhere.example/"),))
    # No other host can be reached at all, whatever a page says.
    with pytest.raises((Blocked, BrowserFailed)):
        list_all(shared_browser, "sports")


@pytest.mark.chromium
def test_a_listing_that_takes_too_long_is_left_with_what_it_gave(live, profiles):
    config = BrowserConfig(profile_root=profiles, listing_s=1e-9)
    with open_browser(config, Site(live.url)) as browser:
        listing = list_all(browser, "sports")
    assert listing.stop_reason == "timeout"
    assert len(listing.sightings) >= 30


@pytest.mark.chromium
def test_a_script_without_end_costs_the_browser_and_leaves_nothing(live, profiles, faulty):
    faulty.fault = lambda _: Reply(200, b"<body>x<script>while (true) {}</script>")
    config = BrowserConfig(profile_root=profiles, page_s=3.0, command_s=20.0)
    with open_browser(config, Site(live.url)) as browser, pytest.raises(PageTimeout):
        list_all(browser, "sports")
    assert members(profiles) == []


@pytest.mark.chromium
@pytest.mark.parametrize("stop", [signal.SIGSTOP, signal.SIGKILL])
def test_a_driver_that_is_lost_costs_the_browser_and_leaves_nothing(live, profiles, stop):
    config = BrowserConfig(profile_root=profiles, command_s=10.0)
    with open_browser(config, Site(live.url)) as browser:
        names = {p: Path(f"/proc/{p}/comm").read_text().strip() for p in members(profiles)}
        os.kill(next(p for p, name in names.items() if name == "chromedriver"), stop)
        with pytest.raises(BrowserFailed):
            list_all(browser, "sports")
    assert members(profiles) == []
    assert list(profiles.iterdir()) == []


@pytest.mark.chromium
def test_a_browser_is_replaced_before_it_grows_too_large(live, profiles):
    config = BrowserConfig(profile_root=profiles, pages_per_session=1)
    with open_browser(config, Site(live.url)) as browser:
        list_all(browser, "sports", limit=1)
        (first,) = profiles.iterdir()
        list_all(browser, "dance", limit=1)
        (second,) = profiles.iterdir()
    assert first != second
    assert members(profiles) == []


@pytest.mark.chromium
def test_a_missing_browser_is_named_and_its_driver_ended(live, profiles, tmp_path, monkeypatch):
    (tmp_path / "chromedriver").symlink_to(shutil.which("chromedriver"))
    monkeypatch.setenv("PATH", str(tmp_path))
    with (
        pytest.raises(BrowserMissing, match="chromium"),
        open_browser(BrowserConfig(profile_root=profiles), Site(live.url)),
    ):
        pass
    assert members(profiles) == []


@pytest.mark.chromium
def test_a_closed_browser_says_so(live, profiles):
    with open_browser(BrowserConfig(profile_root=profiles), Site(live.url)) as browser:
        pass
    with pytest.raises(BrowserFailed, match="closed"):
        browser.cookies()
