from collections import Counter
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest

from catalog.progress import Silent
from scraper.browser import BrowserConfig
from scraper.counts import parse_views_k
from scraper.download import DownloadLimits
from scraper.errors import Blocked, BrowserFailed, PageTimeout, VideoGone
from scraper.items import Sighting
from scraper.listing import Listing
from scraper.page import read_video_page
from scraper.politeness import Site
from scraper.replica.content import ReplicaConfig
from scraper.replica.server import Replica
from scraper.steps import ScrapeRequest, add_hashtags, count_to_fetch, fetch, scrape
from tests.fresh_catalog import ask, fresh_catalog

NOWHERE = Site("http://127.0.0.1:9")
SEEN_AT = datetime(2026, 11, 23, 10, tzinfo=UTC)
FIRST_ID = 7_400_000_000_000_000_000
AGENT = "a fake browser"


class FakeBrowser:
    """Answers with what was laid ready for a name: a listing or page, or an error to raise."""

    user_agent = AGENT

    def __init__(self, answers):
        self.answers = answers

    def list_hashtag(self, name, *, limit, on_progress):
        on_progress(limit)
        return self._answer(name)

    def open_video(self, tiktok_id):
        return self._answer(tiktok_id)

    def cookies(self):
        return self.answers.get("cookies", {})

    def _answer(self, key):
        found = self.answers[key]
        if isinstance(found, BaseException):
            raise found
        return found


class Opener:
    """Opens fake browsers, and remembers how many and whether each was closed."""

    def __init__(self, answers):
        self.answers = answers
        self.n_opened = self.n_closed = 0

    @contextmanager
    def __call__(self, _config, _site):
        self.n_opened += 1
        try:
            yield FakeBrowser(self.answers)
        finally:
            self.n_closed += 1


def sighting(number, text="30.5K", **changes):
    count = parse_views_k(text) if text[0].isdigit() else None
    found = Sighting(
        tiktok_id=str(FIRST_ID + number),
        handle=f"handle{number}",
        caption="a caption #dance",
        hashtags=("dance",),
        posted_at=SEEN_AT - timedelta(days=2),
        duration_s=9.0,
        width_px=576,
        height_px=1024,
        display_text=text,
        views_k=count.views_k if count else None,
        step_k=count.step_k if count else None,
        source="xhr",
        observed_at=SEEN_AT,
    )
    return replace(found, **changes)


def listing(*sightings, stop="end"):
    return Listing(sightings, Counter(), stop, Counter())


@pytest.fixture
def catalog(tmp_path):
    with fresh_catalog(tmp_path) as opened:
        add_hashtags(opened, {"Dance": ["dance"], "Music": ["music"], "Sports": ["sports"]})
        yield opened


def scrape_with(catalog, answers, *, opener=None, **request):
    return scrape(
        catalog,
        NOWHERE,
        BrowserConfig(),
        ScrapeRequest(limit=30, **request),
        salt=b"salt",
        progress=Silent(),
        open_with=opener or Opener(answers),
    )


def listed(catalog):
    return [name for (name,) in ask(catalog, "SELECT name FROM hashtag WHERE listed_at NOT NULL")]


EMPTY = {"dance": listing(), "music": listing(), "sports": listing()}


def test_a_sighting_is_stored_with_its_text_as_it_stood_on_the_page(catalog):
    answers = EMPTY | {"dance": listing(sighting(1, "30.58M"), sighting(2, "1635"))}

    result = scrape_with(catalog, answers)

    assert (result.n_new_videos, result.n_observations) == (2, 2)
    assert (result.outcome.status, result.outcome.n_done) == ("ok", 3)
    assert ask(
        catalog, "SELECT display_text, views_k, step_k FROM view_observation ORDER BY video_id"
    ) == [("30.58M", 30_580.0, 10.0), ("1635", 1.635, 0.0)]


def test_an_unreadable_count_is_null_and_its_text_is_kept(catalog):
    scrape_with(catalog, EMPTY | {"dance": listing(sighting(1, "viele"))})

    assert ask(catalog, "SELECT display_text, views_k, step_k FROM view_observation") == [
        ("viele", None, None)
    ]


def test_nobody_is_named_in_the_catalog(catalog):
    scrape_with(catalog, EMPTY | {"dance": listing(sighting(1))})

    [(key, url)] = ask(
        catalog, "SELECT author_key, url FROM account JOIN video ON account_id = account.id"
    )
    assert "handle1" not in key
    assert url == f"https://www.tiktok.com/@/video/{FIRST_ID + 1}"


def test_an_error_costs_one_hashtag_and_is_recorded(catalog):
    answers = EMPTY | {"dance": Blocked("a captcha"), "music": listing(sighting(1))}
    opener = Opener(answers)

    result = scrape_with(catalog, answers, opener=opener)

    assert (result.outcome.status, result.outcome.exit_code) == ("partial", 4)
    assert (result.outcome.n_done, result.outcome.n_failed) == (2, 1)
    assert result.n_new_videos == 1
    assert listed(catalog) == ["music", "sports"]
    assert ask(catalog, "SELECT code, subject FROM event WHERE level = 'error'") == [
        ("blocked", "#dance")
    ]
    assert opener.n_opened == 1


@pytest.mark.parametrize("error", [BrowserFailed("it crashed"), PageTimeout("no answer in 30 s")])
def test_a_lost_browser_is_closed_and_replaced_for_the_next_hashtag(catalog, error):
    answers = EMPTY | {"dance": error, "music": listing(sighting(1))}
    opener = Opener(answers)

    result = scrape_with(catalog, answers, opener=opener)

    assert (opener.n_opened, opener.n_closed) == (2, 2)
    assert (result.outcome.n_done, result.outcome.codes) == (2, {error.code: 1})


@pytest.mark.parametrize("stop", ["blocked", "broken", "timeout"])
def test_a_listing_that_was_cut_short_keeps_its_videos_and_is_due_again(catalog, stop):
    answers = EMPTY | {"dance": listing(sighting(1), stop=stop)}

    result = scrape_with(catalog, answers, fresh_for=timedelta(hours=1))

    assert result.n_new_videos == 1
    assert result.stopped == {stop: 1, "end": 2}
    assert (result.outcome.status, result.outcome.codes) == ("partial", {f"listing_{stop}": 1})
    assert listed(catalog) == ["music", "sports"]
    again = scrape_with(catalog, answers, fresh_for=timedelta(hours=1))
    assert again.outcome.n_total == 1


def test_what_was_listed_a_short_time_ago_is_left_alone(catalog):
    answers = EMPTY | {"dance": listing(sighting(1))}
    scrape_with(catalog, answers, fresh_for=timedelta(hours=1))
    opener = Opener(answers)

    result = scrape_with(catalog, answers, opener=opener, fresh_for=timedelta(hours=1))

    assert (result.outcome.status, result.outcome.n_total) == ("ok", 0)
    assert opener.n_opened == 0
    assert ask(catalog, "SELECT count(*) FROM view_observation") == [(1,)]


def test_a_later_sighting_adds_an_observation_and_no_video(catalog):
    scrape_with(catalog, EMPTY | {"dance": listing(sighting(1, "30.5K"))})
    later = sighting(1, "31K", observed_at=SEEN_AT + timedelta(days=1))

    result = scrape_with(catalog, EMPTY | {"dance": listing(later)})

    assert (result.n_new_videos, result.n_known_videos, result.n_observations) == (0, 1, 1)
    assert ask(
        catalog,
        "SELECT display_text FROM view_observation o JOIN video ON latest_observation_id = o.id",
    ) == [("31K",)]


# --- fetch: the replica's own pages and files, read without a browser


@pytest.fixture(scope="module")
def replica(clips):
    with Replica(ReplicaConfig(videos_per_tag=3, topics=("Dance",)), clips) as running:
        yield running


@pytest.fixture
def site(replica):
    return Site(replica.url)


@pytest.fixture
def pages(replica, site):
    """What a browser would find on each video's page, by id, with the cookies it would have."""
    found = {}
    # The first look at a page makes the clip that it shows, which may take a busy machine long.
    with httpx.Client(trust_env=False, headers={"User-Agent": AGENT}, timeout=60) as client:
        for video in replica.content.videos:
            url = site.video_url(video.tiktok_id)
            html = client.get(url, follow_redirects=True).text
            page = read_video_page(html, video.tiktok_id, url, observed_at=SEEN_AT)
            found[video.tiktok_id] = page
        found["cookies"] = dict(client.cookies)
    return found


@pytest.fixture
def seen(catalog, pages):
    """The ids of the replica's videos, in the order of their rows in the catalog."""
    found = [page.sighting for key, page in pages.items() if key != "cookies"]
    scrape_with(catalog, EMPTY | {"dance": listing(*found)})
    return [tiktok_id for (tiktok_id,) in ask(catalog, "SELECT tiktok_id FROM video ORDER BY id")]


def fetch_with(catalog, site, answers, folder, *, opener=None, **more):
    return fetch(
        catalog,
        site,
        BrowserConfig(),
        data=folder,
        limits=DownloadLimits(min_free_bytes=0),
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
    assert count_to_fetch(catalog) == 0


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
