"""Write the catalog's videos to a file that other programs read, a page of rows at a time."""

import csv
import json
import re
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any, Literal, TextIO

from sqlalchemy import select
from sqlalchemy.orm import Session

from catalog.facts import SITE_PLATFORM, SoundFacts, without_names
from catalog.read.posts import Page, by_video_id, hashtags_of
from catalog.record.facts_file import url_without_name, write_facts
from catalog.record.sightings import NO_NAME
from catalog.schema.tables import Account, Sound, Video, ViewObservation
from catalog.schema.types import chunks

Format = Literal["csv", "jsonl", "pairs", "facts"]
MENTION = re.compile(r"@[\w.-]{1,64}")
# A spreadsheet takes a cell that begins so for a formula, and runs it.
FORMULA = ("=", "+", "-", "@", "\t", "\r")
COLUMNS = (
    "tiktok_id",
    "platform",
    "url",
    "caption",
    "hashtags",
    "author_key",
    "posted_at",
    "duration_s",
    "width_px",
    "height_px",
    "observed_at",
    "views_text",
    "views_k",
    "step_k",
    "source",
    "gone_at",
    "sound_id",
    "sound_title",
    "sound_author",
    "sound_original",
    "sound_duration_s",
    "language",
    "region",
    "is_ad",
    "is_duet",
    "is_stitch",
    "n_mentions",
    "n_likes",
    "n_comments",
    "n_shares",
    "n_saves",
)


def export_videos(
    session: Session, out: TextIO, format: Format, *, keep_mentions: bool = False
) -> int:
    """Write every video with its newest readable count; return how many there were.

    csv and jsonl have the columns of COLUMNS; `pairs` is the paper's own [{"id", "views_k"}], of
    videos whose count is known, with the platform where it is another site's; `facts` is everything
    that was seen, for another catalog (see catalog/record/facts_file.py). @names in captions become
    "@…", and handles, addresses and sounds that name somebody are left out unless keep_mentions. In
    CSV a text that a spreadsheet would run as a formula gets a "'" in front.
    """
    if format == "facts":
        return write_facts(session, out, redact=None if keep_mentions else _without_names)
    return WRITERS[format](_rows(session, keep_mentions), out)


def _without_names(caption: str) -> str:
    return MENTION.sub(NO_NAME, caption)


def _rows(session: Session, keep_mentions: bool) -> Iterator[dict[str, Any]]:
    page: Page = (
        select(
            Video.id,
            Video.tiktok_id,
            Video.platform,
            Video.url,
            Video.caption,
            Account.handle,
            Account.author_key,
            Video.posted_at,
            Video.duration_s,
            Video.width_px,
            Video.height_px,
            ViewObservation.observed_at,
            ViewObservation.display_text,
            ViewObservation.views_k,
            ViewObservation.step_k,
            ViewObservation.source,
            Video.gone_at,
            Sound.platform_id,
            Sound.title,
            Sound.author,
            Sound.is_original,
            Sound.duration_s,
            Video.language,
            Video.region,
            Video.is_ad,
            Video.is_duet,
            Video.is_stitch,
            Video.n_mentions,
            ViewObservation.n_likes,
            ViewObservation.n_comments,
            ViewObservation.n_shares,
            ViewObservation.n_saves,
        )
        .outerjoin(Account, Account.id == Video.account_id)
        .outerjoin(Sound, Sound.id == Video.sound_id)
        .outerjoin(ViewObservation, ViewObservation.id == Video.latest_observation_id)
    )
    for batch in chunks(by_video_id(session, page)):
        hashtags = hashtags_of(session, [row[0] for row in batch])
        for video_id, tiktok_id, platform, url, caption, handle, *rest in batch:
            tags = " ".join(f"#{name}" for name in hashtags.get(video_id, ()))
            told = (tiktok_id, platform, url, caption, tags, *rest)
            row = dict(zip(COLUMNS, told, strict=True))
            yield row if keep_mentions else _redacted(row, handle)


def _redacted(row: dict[str, Any], handle: str | None) -> dict[str, Any]:
    """Leave out the names of people: in the caption, the address, and of an original sound."""
    row["caption"] = _without_names(row["caption"])
    row["url"] = url_without_name(row["url"], handle, _without_names)
    if row["sound_id"] is not None:
        title, author = row["sound_title"], row["sound_author"]
        sound = SoundFacts(row["sound_id"], title, author, row["sound_original"])
        if without_names(sound) != sound:
            row |= {"sound_title": None, "sound_author": None}
    return row


def _write_csv(rows: Iterator[dict[str, Any]], out: TextIO) -> int:
    writer = csv.writer(out)
    writer.writerow(COLUMNS)
    n_rows = 0
    for row in rows:
        writer.writerow([_cell(row[name]) for name in COLUMNS])
        n_rows += 1
    return n_rows


def _write_jsonl(rows: Iterator[dict[str, Any]], out: TextIO) -> int:
    n_rows = 0
    for row in rows:
        plain = {name: _plain(value) for name, value in row.items()}
        out.write(json.dumps(plain, ensure_ascii=False) + "\n")
        n_rows += 1
    return n_rows


def _write_pairs(rows: Iterator[dict[str, Any]], out: TextIO) -> int:
    out.write("[")
    n_rows = 0
    for row in rows:
        if row["views_k"] is None:
            continue
        separator = ",\n " if n_rows else "\n "
        pair = {"id": row["tiktok_id"], "views_k": row["views_k"]}
        if row["platform"] != SITE_PLATFORM:
            pair["platform"] = row["platform"]
        out.write(separator + json.dumps(pair))
        n_rows += 1
    out.write("\n]\n")
    return n_rows


WRITERS: dict[str, Callable[[Iterator[dict[str, Any]], TextIO], int]] = {
    "csv": _write_csv,
    "jsonl": _write_jsonl,
    "pairs": _write_pairs,
}


def _cell(value: object) -> object:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, str) and value.lstrip(" ").startswith(FORMULA):
        return f"'{value}"
    return value


def _plain(value: object) -> object:
    return value.isoformat() if isinstance(value, datetime) else value
