from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest
from sqlalchemy import text

from catalog.console import Silent
from catalog.record.hashtags import add_topics
from catalog.record.sightings import store_sightings
from catalog.record.site_days import pages_today, pause_of
from scraper.errors import (
    BadCookies,
    Blocked,
    BrowserFailed,
    ExtraMissing,
    LiveSiteRefused,
    NoSpace,
    PrivateVideo,
    SitePaused,
    ToolMissing,
    VideoGone,
)
from scraper.politeness import Site
from scraper.replica.content import ReplicaConfig
from scraper.replica.server import Replica
from scraper.settings import BrowserConfig, FetchConfig, SiteLimits
from scraper.steps.fetch import count_to_fetch, fetch
from scraper.steps.scrape import facts_of
from scraper.visit.page import read_video_page
from tests.fresh_catalog import ask, fresh_catalog
from tests.programs import HANG_S
from tests.scraper.files.test_download import Store, serving
from tests.scraper.files.test_media import FAST, PICTURE, make
from tests.scraper.steps.fakes import AGENT, SEEN_AT, Opener, sighting


@pytest.fixture(scope="module")
def replica(clips):
    with Replica(ReplicaConfig(videos_per_tag=3, topics=("Dance",)), clips) as running:
        yield running


@pytest.fixture
def catalog(tmp_path):
    with fresh_catalog(tmp_path) as opened:
        yield opened


@pytest.fixture
def site(replica):
    return Site(replica.url)


def read_pages(replica, tiktok_ids):
    """What a browser would find on each video's page, by id, with the cookies it would have."""
    site, found = Site(replica.url), {}
    # The first look at a page makes the clip that it shows, which may take a busy machine long.
    with httpx.Client(trust_env=False, headers={"User-Agent": AGENT}, timeout=HANG_S) as client:
        for tiktok_id in tiktok_ids:
            url = site.video_url(tiktok_id)
            html = client.get(url, follow_redirects=True).text
            found[tiktok_id] = read_video_page(html, tiktok_id, url, observed_at=SEEN_AT)
        found["cookies"] = dict(client.cookies)
    return found


@pytest.fixture
def pages(replica):
    return read_pages(replica, [video.tiktok_id for video in replica.content.videos])


@pytest.fixture
def seen(catalog, pages):
    """The ids of the replica's videos, in the order of their rows in the catalog."""
    found = [page.sighting for key, page in pages.items() if key != "cookies"]
    with catalog.write() as session:
        add_topics(session, {"Dance": ["dance"]})
        rows = [facts_of(sighting, b"salt") for sighting in found]
        store_sightings(session, rows, run_id=None, found_by="dance")
    return [tiktok_id for (tiktok_id,) in ask(catalog, "SELECT tiktok_id FROM video ORDER BY id")]


def fetch_with(catalog, site, answers, folder, *, opener=None, limits=None, config=None, **more):
    return fetch(
        catalog,
        site,
        config or BrowserConfig(),
        data=folder,
        limits=limits or FetchConfig(min_free_gb=0),
        progress=Silent(),
        open_with=opener or Opener(answers),
        **more,
    )


def media(catalog):
    """(status, code) of each video's file, by the video's id on the site."""
    found = ask(
        catalog,
        "SELECT tiktok_id, status, error_code FROM video JOIN media_file"
        " ON video_id = video.id ORDER BY video.id",
    )
    return {tiktok_id: (status, code) for tiktok_id, status, code in found}


@pytest.mark.ffmpeg
def test_every_file_is_fetched_and_repeating_it_asks_for_nothing(
    catalog, replica, site, pages, seen, tmp_path
):
    first = fetch_with(catalog, site, pages, tmp_path)
    n_asked = len(replica.requests)
    opener = Opener(pages)
    second = fetch_with(catalog, site, pages, tmp_path, opener=opener)

    assert (first.status, first.n_done) == ("ok", len(seen))
    assert (second.status, second.n_total, opener.n_opened) == ("ok", 0, 0)
    assert len(replica.requests) == n_asked
    for uri, n_bytes in ask(catalog, "SELECT uri, n_bytes FROM media_file"):
        assert not Path(uri).is_absolute()
        assert (tmp_path / uri).stat().st_size == n_bytes


@pytest.mark.ffmpeg
def test_a_video_that_is_gone_is_marked_and_never_asked_for_again(
    catalog, site, pages, seen, tmp_path
):
    answers = pages | {seen[0]: VideoGone("status 10204")}

    outcome = fetch_with(catalog, site, answers, tmp_path)

    assert (outcome.status, outcome.n_done, outcome.codes) == ("partial", 2, {"gone": 1})
    assert media(catalog)[seen[0]] == ("dead", "gone")
    assert ask(catalog, "SELECT tiktok_id, gone_reason FROM video WHERE gone_at NOT NULL") == [
        (seen[0], "status 10204")
    ]
    assert count_to_fetch(catalog, FetchConfig()) == 0


@pytest.mark.ffmpeg
def test_a_bad_file_fails_with_its_code_and_leaves_no_file(catalog, site, pages, seen, tmp_path):
    page = pages[seen[1]]
    lies = tuple(replace(play, n_bytes=7) for play in page.play_urls)
    answers = pages | {seen[1]: replace(page, play_urls=lies)}

    outcome = fetch_with(catalog, site, answers, tmp_path)

    assert (outcome.n_done, outcome.codes) == (2, {"bad_media": 1})
    assert media(catalog)[seen[1]] == ("failed", "bad_media")
    left = sorted(path.name for path in (tmp_path / "media").rglob("*") if path.is_file())
    assert left == sorted(f"{tiktok_id}.mp4" for tiktok_id in (seen[0], seen[2]))
    assert ask(catalog, "SELECT count(*) FROM media_file WHERE status = 'leased'") == [(0,)]


@pytest.mark.ffmpeg
def test_a_browser_lost_in_a_fetch_costs_one_video(catalog, site, pages, seen, tmp_path):
    answers = pages | {seen[0]: BrowserFailed("it crashed")}
    opener = Opener(answers)

    outcome = fetch_with(catalog, site, answers, tmp_path, opener=opener)

    assert (opener.n_opened, opener.n_closed) == (2, 2)
    assert (outcome.n_done, outcome.codes) == (2, {"browser_failed": 1})


@pytest.mark.ffmpeg
def test_no_more_than_max_videos_are_fetched(catalog, site, pages, seen, tmp_path):
    outcome = fetch_with(catalog, site, pages, tmp_path, max_videos=2)

    assert (outcome.n_total, outcome.n_done) == (2, 2)
    assert media(catalog)[seen[2]] == ("pending", None)
    assert fetch_with(catalog, site, pages, tmp_path, max_videos=2).n_done == 1


@pytest.mark.ffmpeg
def test_what_a_stopped_fetch_had_claimed_is_given_back(catalog, site, pages, seen, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        fetch_with(catalog, site, pages | {seen[0]: KeyboardInterrupt()}, tmp_path)

    assert set(media(catalog).values()) == {("pending", None)}
    assert ask(catalog, "SELECT DISTINCT attempts FROM media_file") == [(0,)]
    assert ask(catalog, "SELECT status FROM run ORDER BY id DESC LIMIT 1") == [("cancelled",)]


# --- what the site or the machine says no to


@pytest.fixture
def refused(replica):
    """Switches a fault of the replica on, and off again afterwards."""
    yield lambda name: replica.site.set_fault("dance", name)
    replica.site.set_fault("dance", None)


@pytest.mark.ffmpeg
def test_an_address_that_is_over_is_signed_anew_once(
    catalog, replica, site, pages, seen, refused, tmp_path
):
    over = pages[seen[0]]
    old = tuple(replace(p, url=p.url.replace("signature=", "signature=0")) for p in over.play_urls)
    over = replace(over, play_urls=old)
    answers = pages | {
        seen[0]: [over, pages[seen[0]]],
        seen[1]: [replace(pages[seen[1]], play_urls=old)] * 2,
    }

    outcome = fetch_with(catalog, site, answers, tmp_path)

    assert (outcome.n_done, outcome.codes) == (2, {"url_expired": 1})
    assert media(catalog)[seen[0]] == ("ok", None)
    assert site.n_visits == 5


@pytest.mark.ffmpeg
def test_a_file_that_is_refused_for_a_while_costs_no_attempt(
    catalog, replica, pages, seen, refused, tmp_path
):
    waits = []
    site = Site(replica.url, sleep=waits.append)
    refused("rate_limit:9")

    outcome = fetch_with(catalog, site, pages, tmp_path)

    assert waits == [9.0, 9.0]
    assert outcome.codes == {"blocked": 3}
    assert set(media(catalog).values()) == {("pending", None)}
    assert ask(catalog, "SELECT DISTINCT attempts FROM media_file") == [(0,)]
    refused(None)
    with pytest.raises(SitePaused, match="429"):
        fetch_with(catalog, site, pages, tmp_path)


@pytest.mark.ffmpeg
def test_a_captcha_leaves_the_claim_and_the_rest_is_tried(catalog, site, pages, seen, tmp_path):
    answers = pages | {seen[0]: Blocked("a captcha", mark="captcha")}

    outcome = fetch_with(catalog, site, answers, tmp_path)

    assert (outcome.n_done, outcome.codes) == (2, {"blocked": 1})
    assert media(catalog)[seen[0]] == ("pending", None)
    with catalog.read() as session:
        assert pause_of(session, site.name, "", datetime.now(UTC)) is None


@pytest.mark.ffmpeg
def test_the_days_budget_counts_pages_and_not_files(catalog, replica, pages, seen, tmp_path):
    site = Site(replica.url, limits=SiteLimits(daily_pages=2))

    outcome = fetch_with(catalog, site, pages, tmp_path)

    assert (outcome.n_done, outcome.n_skipped, outcome.exit_code) == (2, 1, 4)
    with catalog.read() as session:
        assert pages_today(session, site.name, datetime.now(UTC)) == 2
    assert media(catalog)[seen[2]] == ("pending", None)


@pytest.mark.ffmpeg
def test_a_private_video_may_come_back(catalog, site, pages, seen, tmp_path):
    outcome = fetch_with(catalog, site, pages | {seen[0]: PrivateVideo("10216")}, tmp_path)

    assert outcome.codes == {"private": 1}
    assert media(catalog)[seen[0]] == ("failed", "private")
    assert ask(catalog, "SELECT count(*) FROM video WHERE gone_at NOT NULL") == [(0,)]


def test_a_full_disk_ends_the_run_and_costs_no_video(catalog, site, pages, seen, tmp_path):
    limits = FetchConfig(min_free_gb=1e9)
    with pytest.raises(NoSpace):
        fetch_with(catalog, site, pages, tmp_path, limits=limits)

    assert set(media(catalog).values()) == {("pending", None)}
    assert ask(catalog, "SELECT DISTINCT attempts FROM media_file") == [(0,)]


def test_a_missing_ffmpeg_ends_the_run(catalog, site, pages, seen, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", "")
    with pytest.raises(ToolMissing):
        fetch_with(catalog, site, pages, tmp_path)

    assert set(media(catalog).values()) == {("pending", None)}


# --- yt-dlp, which is asked for the videos of every platform

BY_YTDLP = FetchConfig(backend="yt-dlp", min_free_gb=0)


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    return make(tmp_path_factory.mktemp("clip") / "clip.mp4", *PICTURE, *FAST).read_bytes()


@pytest.fixture
def store(clip):
    with serving(Store(clip)) as made:
        yield made


def add(catalog, *urls, platform="generic"):
    """A video of another platform at each address; returns their ids."""
    rows = []
    for n, url in enumerate(urls):
        video, seen = facts_of(sighting(n, duration_s=2.0), b"salt")
        rows.append((replace(video, platform=platform, url=url), seen))
    with catalog.write() as session:
        store_sightings(session, rows, run_id=None, found_by="search")
    return [video.tiktok_id for video, _seen in rows]


def ask_ytdlp(catalog, site, folder, **more):
    return fetch_with(catalog, site, {}, folder, **({"limits": BY_YTDLP} | more))


@pytest.mark.ffmpeg
def test_yt_dlp_brings_what_the_browser_leaves(catalog, site, pages, seen, store, tmp_path):
    (other,) = add(catalog, f"{store.url}/v.mp4")
    assert [count_to_fetch(catalog, limits) for limits in (FetchConfig(), BY_YTDLP)] == [3, 4]
    first = fetch_with(catalog, site, pages, tmp_path)
    assert (first.n_done, other in media(catalog)) == (3, False)

    opener = Opener(pages)
    outcome = ask_ytdlp(catalog, site, tmp_path, opener=opener)

    assert (outcome.status, outcome.n_total, outcome.n_done) == ("ok", 1, 1)
    assert opener.n_opened == 0
    ((uri, n_bytes),) = ask(
        catalog,
        "SELECT uri, n_bytes FROM media_file m JOIN video v ON v.id = video_id"
        " WHERE platform = 'generic'",
    )
    assert uri == f"media/generic/{other[-2:]}/{other}.mp4"
    assert (tmp_path / uri).read_bytes() == store.content
    assert n_bytes == len(store.content)
    assert ask_ytdlp(catalog, site, tmp_path).n_total == 0
    runs = ask(catalog, "SELECT params FROM run WHERE kind = 'fetch' ORDER BY id")
    assert ['"yt-dlp"' in params for (params,) in runs] == [False, True, True]


@pytest.mark.ffmpeg
def test_what_yt_dlp_failed_at_is_left_by_the_browser(catalog, site, pages, seen, store, tmp_path):
    (other,) = add(catalog, f"{store.url}/v.mp4")
    store.status = 500
    outcome = ask_ytdlp(catalog, site, tmp_path, max_videos=4)
    assert outcome.codes["site_failed"] == 1
    assert media(catalog)[other] == ("failed", "site_failed")

    with catalog.write() as session:
        session.execute(text("UPDATE media_file SET not_before = NULL"))
    fetch_with(catalog, site, pages, tmp_path)

    found = media(catalog)
    assert found.pop(other) == ("failed", "site_failed")
    assert {status for status, _code in found.values()} == {"ok"}


def test_a_host_that_is_not_this_machine_needs_leave(catalog, site, tmp_path):
    urls = ("https://www.youtube.com/watch?v=1", "http://10.0.0.1/v.mp4", "")
    first, second, third = add(catalog, *urls, platform="youtube")

    outcome = ask_ytdlp(catalog, site, tmp_path)

    assert outcome.codes == {"live_site_refused": 2, "no_media": 1}
    assert media(catalog) == {
        first: ("pending", None),
        second: ("pending", None),
        third: ("dead", "no_media"),
    }
    assert ask(catalog, "SELECT DISTINCT attempts FROM media_file WHERE status = 'pending'") == [
        (0,)
    ]


def test_the_notice_of_another_live_host_is_given_once_before_it_is_asked(
    catalog, tmp_path, monkeypatch
):
    urls = [f"https://video.example/{n}" for n in (1, 2)]
    add(catalog, *urls, "http://127.0.0.1:1/v.mp4", platform="youtube")
    site = Site("https://www.tiktok.com", allow_live=True, sleep=lambda _s: None)
    notices, asked = [], []

    def refuse(wish, _target, where, _limits):
        asked.append((wish.url, where.name, len(notices)))
        raise PrivateVideo("private")

    monkeypatch.setattr("scraper.steps.fetch.fetch_with_ytdlp", refuse)
    outcome = ask_ytdlp(catalog, site, tmp_path, announce=notices.append)

    assert asked == [(url, "video.example", 1) for url in urls]
    assert notices[0].startswith("video.example is a live site")
    assert "yt-dlp" in notices[0]
    # A live site's catalog does not make us visit what runs on this machine.
    assert outcome.codes == {"private": 2, "live_site_refused": 1}


def test_each_host_has_its_own_refusals_and_budget(catalog, replica, store, tmp_path):
    site = Site(replica.url, limits=SiteLimits(blocks_to_stop=1, daily_pages=1))
    other = store.url.replace("127.0.0.1", "localhost")
    add(catalog, *(f"{store.url}/{n}.mp4" for n in (1, 2)), f"{other}/3.mp4")
    store.status = 403

    outcome = ask_ytdlp(catalog, site, tmp_path)

    # One refusal of each host ends what is asked of it, and costs no attempt.
    assert outcome.codes["blocked"] == 2
    assert outcome.n_skipped == 1
    assert set(media(catalog).values()) == {("pending", None)}
    with catalog.read() as session:
        now = datetime.now(UTC)
        for url in (store.url, other):
            assert pause_of(session, Site(url).name, "", now) is not None
            assert pages_today(session, Site(url).name, now) == 1
        assert pause_of(session, site.name, "", now) is None
    n_asked = len(store.seen)
    again = ask_ytdlp(catalog, site, tmp_path)
    assert (again.n_skipped, again.codes) == (3, {"site_paused": 5})
    assert len(store.seen) == n_asked


def test_without_the_extra_nothing_is_begun(catalog, site, tmp_path, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    with pytest.raises(ExtraMissing, match="ytdlp"):
        ask_ytdlp(catalog, site, tmp_path)
    assert ask(catalog, "SELECT count(*) FROM run") == [(0,)]


def test_a_file_of_cookies_without_the_sites_is_refused_first(catalog, site, tmp_path):
    file = tmp_path / "c.txt"
    file.write_text("elsewhere.example\tFALSE\t/\tFALSE\t0\ta\tb\n")
    with pytest.raises(BadCookies, match=r"none is of 127\.0\.0\.1"):
        ask_ytdlp(catalog, site, tmp_path, config=BrowserConfig(cookies=file))


def test_a_proxy_elsewhere_is_not_asked_for_what_is_here(catalog, site, tmp_path):
    limits = FetchConfig(proxy="http://proxy.example:8080", min_free_gb=0)
    with pytest.raises(LiveSiteRefused, match=r"proxy\.example"):
        fetch_with(catalog, site, {}, tmp_path, limits=limits)
