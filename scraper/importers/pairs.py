"""Read the paper's own lists: an id with its views, as a text, a number or thousands."""

from collections.abc import Mapping
from typing import Any

from scraper.counts import ViewCount
from scraper.importers.errors import RowRefused
from scraper.importers.fields import (
    THOUSANDS_MARK,
    first_of,
    is_missing,
    naming,
    read_count,
    read_moment,
    read_thousands,
)
from scraper.importers.ids import TIKTOK, check_url_id, read_id, read_platform
from scraper.importers.records import ImportedVideo, Source
from scraper.importers.video import make_video

Json = Mapping[str, Any]


def read_pair(row: Json, line: int, source: Source) -> ImportedVideo:
    """Read `{"id", "url", "views"}` or `{"id", "views_k"}`, with what else may stand there."""
    platform = read_platform(row.get("platform"), source.options.platform)
    stated_id = row.get("id")
    tiktok_id = None if is_missing(stated_id) else read_id(stated_id, platform)
    if platform == TIKTOK:
        tiktok_id = check_url_id(row.get("url"), tiktok_id)
    if tiktok_id is None:
        tiktok_id = read_id(stated_id, platform)
    with naming(tiktok_id):
        return make_video(
            source,
            line,
            tiktok_id=tiktok_id,
            platform=platform,
            count=read_views(
                row.get("views"), row.get("views_k"), source.options.locale, tiktok_id
            ),
            url=row.get("url"),
            handle=first_of(row, "author", "username"),
            caption=first_of(row, "caption", "desc", "text", "description"),
            posted_at=read_moment(
                first_of(row, "posted_at", "createTime", "create_time"), "posted_at"
            ),
            observed_at=read_moment(first_of(row, "observed_at", "collected_at"), "observed_at"),
            duration_s=first_of(row, "duration_s", "duration"),
            width_px=first_of(row, "width_px", "width"),
            height_px=first_of(row, "height_px", "height"),
        )


def read_views(
    views: object, views_k: object, locale: str | None, tiktok_id: str
) -> tuple[str, ViewCount]:
    """Return the count: the displayed one, which says how exact it is, else the thousands.

    Refuses a row in which the two contradict each other.
    """
    if is_missing(views) or (isinstance(views, str) and views.startswith(THOUSANDS_MARK)):
        # The second is what an export has of a count that came as thousands.
        return read_thousands(views_k)
    text, count = read_count(views, exact=False, locale=locale)
    if is_missing(views_k):
        return text, count
    _, thousands = read_thousands(views_k)
    # Thousands were often made from the text: within its step they are the same number.
    if abs(thousands.views_k - count.views_k) > max(count.step_k, 0.001) + 1e-9 * count.views_k:
        raise RowRefused(
            "bad_count", f"views {text!r} and views_k {views_k!r} contradict each other", tiktok_id
        )
    return text, count
