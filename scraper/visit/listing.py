"""Put together what successive looks at a page that lists videos show, each video once."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Literal

from scraper.errors import PageChanged, ScrapeError
from scraper.items import Rejected, Sighting, read_text_count
from scraper.visit.capture import PageLook
from scraper.visit.page import (
    API,
    DETAILS,
    CardFacts,
    ItemList,
    ListingPage,
    PageFacts,
    card_sighting,
    read_answer,
    read_cards,
    read_detail,
    read_hydrated_items,
    read_item_list,
    read_scope,
    read_scope_facts,
)

# limit: as many as were wanted; since: what follows is older than was wanted; end: the site has no
# more; stalled: nothing came any more; timeout: the time for one page is over; blocked, broken,
# crashed: refused, not readable any more, or the browser lost, after the first videos.
StopReason = Literal["limit", "since", "end", "stalled", "timeout", "blocked", "broken", "crashed"]


@dataclass(frozen=True)
class Window:
    """Which posting times are wanted: from `since` on and before `until`; None: no bound."""

    since: datetime | None = None
    until: datetime | None = None

    def reason_to_leave(self, tiktok_id: str, posted_at: datetime | None) -> str | None:
        """Say why a video is left aside, or None; an id tells the time where nobody did."""
        if self.since is None and self.until is None:
            return None
        moment = posted_at or datetime.fromtimestamp(int(tiktok_id) >> 32, UTC)
        if self.since is not None and moment < self.since:
            return "before_since"
        return "after_until" if self.until is not None and moment >= self.until else None


ALL = Window()
OUTSIDE = frozenset({"before_since", "after_until"})


@dataclass(frozen=True)
class Listing:
    """The videos of a page in its order.

    rejected: what is no public video, or not of the time wanted, by reason. sources: sightings by
    where they were read, and under "card_disagrees" how often a card contradicted the JSON beside
    it. error: what ended a listing that was blocked, broken or crashed. about: what the page said
    of its account or sound.
    """

    sightings: tuple[Sighting, ...]
    rejected: Counter[str]
    stop_reason: StopReason
    sources: Counter[str]
    error: ScrapeError | None = None
    about: PageFacts | None = None

    def summary(self) -> dict[str, object]:
        """Tell in short how it went, for a journal."""
        return {
            "stop_reason": self.stop_reason,
            "n_videos": len(self.sightings),
            "sources": dict(self.sources),
            "rejected": dict(self.rejected),
            "error": None if self.error is None else str(self.error),
        }


class ListingBuilder:
    """The listing of one page as it grows; JSON counts before cards, cards before nothing.

    What a look brings is ready when both the JSON and the card of a video are there. A half that
    is alone waits for one more look, and is then all that there is.
    """

    def __init__(self, page: ListingPage, limit: int, window: Window = ALL) -> None:
        self._about: PageFacts | None = None
        self._is_about_taken = False
        self._page = page
        self._limit = limit
        self._window = window
        self._by_id: dict[str, Sighting] = {}
        self._rejected: dict[str, str] = {}
        self._nameless: Counter[str] = Counter()
        self._cards: dict[str, CardFacts] = {}
        self._ready: dict[str, Sighting] = {}
        self._waiting: set[str] = set()
        self._sources: Counter[str] = Counter()
        self._is_at_end = self._is_past = False

    @property
    def n_sightings(self) -> int:
        """How many videos there are so far, with or without JSON."""
        return len(self._by_id) + sum(card.views_text is not None for card in self._lone_cards())

    @property
    def n_ids(self) -> int:
        """How many posts were seen at all; grows as long as the page does."""
        return len(self._by_id.keys() | self._rejected.keys() | self._cards.keys())

    @property
    def stop_reason(self) -> StopReason | None:
        """Why no further look is needed, or None."""
        # Only where no JSON comes at all are the cards what the limit is about.
        if (len(self._by_id) or self.n_sightings) >= self._limit:
            return "limit"
        if self._is_past:
            return "since"
        return "end" if self._is_at_end else None

    def add(self, look: PageLook, *, observed_at: datetime) -> None:
        """Take in one look. Raises what the site's replies say, see `read_answer`."""
        facts, rejected = read_cards(look.cards)
        for card in facts:
            self._cards[card.tiktok_id] = card
            reason = self._window.reason_to_leave(card.tiktok_id, None)
            if reason is not None and card.tiktok_id not in self._by_id:
                self._rejected.setdefault(card.tiktok_id, reason)
        for entry in rejected:
            # A card without a link is one that is being drawn; the next look shows it again.
            if entry.tiktok_id is not None:
                self._rejected.setdefault(entry.tiktok_id, entry.reason)
        if look.hydration:
            scope = _scope(look)
            about = read_scope_facts(scope, self._page, observed_at=observed_at)
            self._about = self._about or about
            self._add_items(read_hydrated_items(scope, observed_at=observed_at))
        for body in look.bodies:
            if DETAILS[self._page.kind] in body.url:
                about = read_detail(
                    read_answer(body), self._page, source="xhr", observed_at=observed_at
                )
                self._about = self._about or about
            elif API[self._page.kind] in body.url:
                items = read_item_list(body, observed_at=observed_at)
                self._add_items(items)
                self._is_at_end = not items.has_more

    def take_about(self) -> PageFacts | None:
        """Return what the page says of its account or sound, the first time that it is known."""
        if self._is_about_taken:
            return None
        self._is_about_taken = self._about is not None
        return self._about

    def take(self, *, observed_at: datetime, is_last: bool = False) -> tuple[Sighting, ...]:
        """Return what has become ready since the last time, in page order, each video once.

        is_last: no further look will come, so nothing waits.
        """
        taken: list[Sighting] = []
        waiting: set[str] = set()
        for tiktok_id in self._in_page_order():
            if tiktok_id in self._ready or len(self._ready) >= self._limit:
                continue
            json, card = self._by_id.get(tiktok_id), self._cards.get(tiktok_id)
            if not (json and card) and not is_last and tiktok_id not in self._waiting:
                waiting.add(tiktok_id)
                continue
            found = self._join(json, card, observed_at)
            if isinstance(found, Rejected):
                waiting.add(tiktok_id)  # its JSON may still come
                continue
            self._ready[tiktok_id] = found
            self._sources[found.source] += 1
            taken.append(found)
        self._waiting = waiting
        return tuple(taken)

    def finish(
        self, stop_reason: StopReason, *, observed_at: datetime, error: ScrapeError | None = None
    ) -> Listing:
        """Take the rest, and give everything that was ever taken."""
        self.take(observed_at=observed_at, is_last=True)
        kept = tuple(self._ready[key] for key in self._in_page_order() if key in self._ready)
        rejected = Counter(self._rejected.values()) + self._nameless
        rejected["no_count"] += sum(card.views_text is None for card in self._lone_cards())
        return Listing(kept, +rejected, stop_reason, self._sources, error, self._about)

    def _in_page_order(self) -> list[str]:
        return [*self._by_id, *(card.tiktok_id for card in self._lone_cards())]

    def _lone_cards(self) -> Iterator[CardFacts]:
        """Cards for which no JSON came, neither to keep nor to reject."""
        for tiktok_id, card in self._cards.items():
            if tiktok_id not in self._by_id and tiktok_id not in self._rejected:
                yield card

    def _add_items(self, items: ItemList) -> None:
        for sighting in items.sightings:
            reason = self._window.reason_to_leave(sighting.tiktok_id, sighting.posted_at)
            if reason is not None:
                self._rejected[sighting.tiktok_id] = reason
                continue
            if self._rejected.get(sighting.tiktok_id) in OUTSIDE:
                # Its card was judged by its id alone.
                del self._rejected[sighting.tiktok_id]
            self._by_id.setdefault(sighting.tiktok_id, sighting)
        if self._page.kind == "account" and self._window.since and items.oldest_at:
            # Newest first behind what is pinned: all that follows is older.
            self._is_past = self._is_past or items.oldest_at < self._window.since
        for entry in items.rejected:
            if entry.tiktok_id is None:
                self._nameless[entry.reason] += 1
            else:
                self._rejected[entry.tiktok_id] = entry.reason

    def _join(
        self, json: Sighting | None, card: CardFacts | None, observed_at: datetime
    ) -> Sighting | Rejected:
        if json is None:
            assert card is not None
            return card_sighting(card, observed_at=observed_at)
        if card is None or card.views_text is None:
            return json
        shown = read_text_count(card.views_text)
        if shown is None:
            return replace(json, display_text=card.views_text)
        if json.views_k is None or json.step_k is None:
            # The card can be read where the JSON cannot.
            return replace(
                json, display_text=card.views_text, views_k=shown.views_k, step_k=shown.step_k
            )
        # The JSON is at least as exact; both are right to half a step, if they are of one video.
        slack_k = (shown.step_k + json.step_k) / 2 + 1e-9 * shown.views_k
        if abs(shown.views_k - json.views_k) > slack_k:
            self._sources["card_disagrees"] += 1
        return replace(json, display_text=card.views_text)


def _scope(look: PageLook) -> dict[str, object]:
    try:
        return dict(read_scope(look.hydration))
    except PageChanged:
        # Listings come by request; the page's own data is only ever a bonus.
        return {}
