"""Read the site's own items, as browsers, Zeeschuimer and 4CAT save them."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from scraper.importers.errors import RowRefused, shown
from scraper.importers.fields import child, first_of, naming, read_count, read_moment
from scraper.importers.ids import TIKTOK, read_id
from scraper.importers.records import ImportedVideo, Source
from scraper.importers.video import make_video
from scraper.items import Rejected, read_item

Json = Mapping[str, Any]

WHY = {
    "ad": "isAd is set: shown because it was paid for",
    "photo": "a photo post (imagePost), not a video",
    "live": "a live room, not a video",
    "private": "marked private, secret, for friends or under review",
    "taken_down": "taken down by the site",
    "no_video": "without a video (a duration of 0)",
    "emptied": "no counts and no time, as a visitor gets who ought to sign in",
}


def read_web(row: Json, line: int, source: Source) -> ImportedVideo:
    """Read an `itemStruct`, bare or in what a collecting tool wraps around it."""
    item, tag = _unwrap(row)
    site = first_of(row, "source_platform") or first_of(tag, "source_platform")
    if isinstance(site, str) and TIKTOK not in site.lower():
        raise RowRefused("other_site", f"an item of {shown(site)}: only tiktok.com's are read")
    raw_id = first_of(item, "id")
    tiktok_id = read_id(raw_id, TIKTOK)
    with naming(tiktok_id):
        collected = first_of(row, "timestamp_collected") or first_of(tag, "timestamp_collected")
        stated = read_moment(collected, "timestamp_collected")
        found = read_item(
            {**item, "id": tiktok_id}, source="import", observed_at=source.observed_at(stated)[0]
        )
        if isinstance(found, Rejected):
            raise RowRefused(found.reason, WHY.get(found.reason, found.reason), tiktok_id)
        if found.views_k is None or found.step_k is None:
            # Refuses with what is there instead; a count it can read is as good as the item's.
            counts = [child(item, name).get("playCount") for name in ("statsV2", "stats")]
            read_count(next((n for n in counts if n is not None), None), exact=False)
            raise RowRefused("bad_count", f"playCount {shown(found.display_text)}", tiktok_id)
        made = make_video(
            source,
            line,
            tiktok_id=tiktok_id,
            count=(found.display_text, None),
            posted_at=found.posted_at,
            observed_at=stated,
        )
        # The site's own reader knows its items best; only the times may come from elsewhere.
        posted_at = made.sighting.posted_at
        return replace(made, sighting=replace(found, posted_at=posted_at))


def _unwrap(row: Json) -> tuple[Json, Json]:
    """Return the item and what a tool noted about it."""
    wrapped = row.get("data")
    if isinstance(wrapped, Mapping) and ("item_id" in row or "timestamp_collected" in row):
        return wrapped, row
    item = child(child(row, "itemInfo"), "itemStruct") or child(row, "itemStruct")
    return item or row, child(row, "__import_meta")
