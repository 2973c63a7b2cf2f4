"""A browser that answers from a dictionary, and what it may be asked to show."""

from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from scraper.counts import parse_views_k
from scraper.items import Sighting
from scraper.visit.listing import Listing
from scraper.visit.page import VideoPage

SEEN_AT = datetime(2026, 11, 23, 10, tzinfo=UTC)
FIRST_ID = 7_400_000_000_000_000_000
AGENT = "a fake browser"


@dataclass(frozen=True)
class Cut:
    """A listing that gives one look and then breaks off."""

    sightings: list[Sighting]
    error: BaseException


class FakeBrowser:
    """Answers with what was laid ready for a name: a listing or page, or an error to raise.

    A list is what it answers one time after the other. Every visit counts as one of the site's.
    """

    user_agent = AGENT

    def __init__(self, answers, site):
        self.answers = answers
        self.site = site
        self.is_lost = False
        self.windows = []

    def list_page(self, page, *, limit, window, keep, keep_about, on_progress):
        self.windows.append(window)
        on_progress(limit)
        found = self._answer(f"@{page.name}" if page.kind == "account" else page.name)
        if getattr(found, "about", None) is not None:
            keep_about(found.about)
        if found.sightings:
            keep(found.sightings)
        if isinstance(found, Cut):
            raise found.error
        self.is_lost = found.stop_reason == "crashed"
        return found

    def open_video(self, tiktok_id):
        return self._answer(tiktok_id)

    def cookies(self):
        return self.answers.get("cookies", {})

    def _answer(self, key):
        self.site.pause("page")
        found = self.answers[key]
        if isinstance(found, list):
            found = found.pop(0)
        if isinstance(found, BaseException):
            raise found
        return found


class Opener:
    """Opens fake browsers, and remembers how many and whether each was closed."""

    def __init__(self, answers):
        self.answers = answers
        self.n_opened = self.n_closed = 0

    @contextmanager
    def __call__(self, _config, site):
        self.n_opened += 1
        try:
            yield FakeBrowser(self.answers, site)
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


def listing(*sightings, stop="end", error=None, about=None, **rejected):
    sources = Counter(found.source for found in sightings)
    return Listing(sightings, Counter(rejected), stop, sources, error, about)


def page_of(found):
    """The video's own page, without a file."""
    return VideoPage(found.tiktok_id, "", found, ())
