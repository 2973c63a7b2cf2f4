"""Put together what successive looks at a hashtag's page show, each video once."""

from collections import Counter
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal

from scraper.capture import Look
from scraper.errors import PageChanged
from scraper.items import Rejected, Sighting, read_text_count
from scraper.page import (
    CardFacts,
    ItemList,
    card_sighting,
    read_answer,
    read_hydrated_items,
    read_item_list,
    read_scope,
    read_tag_cards,
)

# limit: as many as were wanted; end: the site has no more; stalled: nothing came any more;
# timeout: the time for one hashtag is over; blocked, broken: refused, or not readable any more,
# after the first videos.
StopReason = Literal["limit", "end", "stalled", "timeout", "blocked", "broken"]


@dataclass(frozen=True)
class Listing:
    """A hashtag's videos in page order.

    rejected: what is no public video, by reason. sources: sightings by where they were read, and
    under "card_disagrees" how often a card contradicted the JSON beside it.
    """

    sightings: tuple[Sighting, ...]
    rejected: Counter[str]
    stop_reason: StopReason
    sources: Counter[str]


class ListingBuilder:
    """The listing of one hashtag as it grows; JSON counts before cards, cards before nothing."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._by_id: dict[str, Sighting] = {}
        self._rejected: dict[str, str] = {}
        self._nameless: Counter[str] = Counter()
        self._cards: dict[str, CardFacts] = {}
        self._is_at_end = False

    @property
    def n_sightings(self) -> int:
        """How many videos the JSON has given so far."""
        return len(self._by_id)

    @property
    def n_ids(self) -> int:
        """How many posts were seen at all; grows as long as the page does."""
        return len(self._by_id.keys() | self._rejected.keys() | self._cards.keys())

    @property
    def stop_reason(self) -> StopReason | None:
        """Why no further look is needed, or None."""
        if max(len(self._by_id), self._n_counted_cards()) >= self._limit:
            return "limit"
        return "end" if self._is_at_end else None

    def add(self, look: Look, *, observed_at: datetime) -> None:
        """Take in one look. Raises what the site's replies say, see `read_answer`."""
        facts, rejected = read_tag_cards(look.cards)
        self._cards.update((card.tiktok_id, card) for card in facts)
        for entry in rejected:
            # A card without a link is one that is being drawn; the next look shows it again.
            if entry.tiktok_id is not None:
                self._rejected.setdefault(entry.tiktok_id, entry.reason)
        if look.hydration:
            self._add_items(read_hydrated_items(_scope(look), observed_at=observed_at))
        for body in look.bodies:
            if "/item_list/" not in body.url:
                read_answer(body)
                continue
            items = read_item_list(body, observed_at=observed_at)
            self._add_items(items)
            self._is_at_end = not items.has_more

    def finish(self, stop_reason: StopReason, *, observed_at: datetime) -> Listing:
        """Join the cards to the JSON by id, and fall back on the cards where none came."""
        sources: Counter[str] = Counter()
        found = [self._join(sighting, sources) for sighting in self._by_id.values()]
        for card in self._cards.values():
            if card.tiktok_id in self._by_id or card.tiktok_id in self._rejected:
                continue
            alone = card_sighting(card, observed_at=observed_at)
            if isinstance(alone, Rejected):
                self._rejected[card.tiktok_id] = alone.reason
            else:
                found.append(alone)
        kept = tuple(found[: self._limit])
        sources.update(sighting.source for sighting in kept)
        rejected = Counter(self._rejected.values()) + self._nameless
        return Listing(kept, rejected, stop_reason, sources)

    def _n_counted_cards(self) -> int:
        # Only where no JSON comes at all are the cards what the limit is about.
        if self._by_id:
            return 0
        return sum(card.views_text is not None for card in self._cards.values())

    def _add_items(self, items: ItemList) -> None:
        for sighting in items.sightings:
            self._by_id.setdefault(sighting.tiktok_id, sighting)
        for entry in items.rejected:
            if entry.tiktok_id is None:
                self._nameless[entry.reason] += 1
            else:
                self._rejected[entry.tiktok_id] = entry.reason

    def _join(self, sighting: Sighting, sources: Counter[str]) -> Sighting:
        card = self._cards.get(sighting.tiktok_id)
        if card is None or card.views_text is None:
            return sighting
        shown = read_text_count(card.views_text)
        if shown is None:
            return replace(sighting, display_text=card.views_text)
        if sighting.views_k is None or sighting.step_k is None:
            # The card can be read where the JSON cannot.
            return replace(
                sighting,
                display_text=card.views_text,
                views_k=shown.views_k,
                step_k=shown.step_k,
            )
        # The JSON is at least as exact; both are right to half a step, if they are of one video.
        slack_k = (shown.step_k + sighting.step_k) / 2 + 1e-9 * shown.views_k
        if abs(shown.views_k - sighting.views_k) > slack_k:
            sources["card_disagrees"] += 1
        return replace(sighting, display_text=card.views_text)


def _scope(look: Look) -> dict[str, object]:
    try:
        return dict(read_scope(look.hydration))
    except PageChanged:
        # Listings come by request; the page's own data is only ever a bonus.
        return {}
