"""Storing 10,000 observations: ours beside the plain sqlite3 module doing only the same writes.

Both end with the same rows in the same tables: the videos brought up to date, a count added to
each, the newest count of each known. The plain way is the floor: it checks nothing, binds tuples,
and knows that no other program writes.
"""

import sqlite3
import statistics
import tempfile
import time
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

from bench.measure import REPEATS, Row
from catalog.facts import ObservationFacts, VideoFacts
from catalog.record.accounts import Sightings
from catalog.record.sightings import store_sightings
from catalog.schema.session import open_catalog, upgrade

N_VIDEOS = 10_000
FIRST_SEEN = datetime(2026, 3, 1, 4, 30, tzinfo=UTC)

PLAIN_VIDEO = """
    INSERT INTO video (tiktok_id, platform, url, caption, posted_at, duration_s, first_seen_at)
    VALUES (?, 'tiktok', ?, ?, ?, ?, ?)
    ON CONFLICT (tiktok_id, platform) DO UPDATE SET url = excluded.url, caption = excluded.caption,
        posted_at = excluded.posted_at, duration_s = excluded.duration_s"""
PLAIN_OBSERVATION = """
    INSERT INTO view_observation (video_id, observed_at, display_text, views_k, step_k, source)
    VALUES ((SELECT id FROM video WHERE tiktok_id = ? AND platform = 'tiktok'), ?, ?, ?, ?, 'xhr')
    ON CONFLICT DO NOTHING"""
PLAIN_LATEST = """
    UPDATE video SET latest_observation_id = (
        SELECT id FROM view_observation o WHERE o.video_id = video.id
        ORDER BY o.views_k IS NULL, o.observed_at DESC LIMIT 1)"""
STATE = """
    SELECT count(*), count(DISTINCT v.id), total(o.views_k), max(o.observed_at)
    FROM video v JOIN view_observation o ON o.id = v.latest_observation_id"""


def rows() -> list[Row]:
    """Measure a first listing and the next night's, side by side; the median of the repeats."""
    seconds: dict[tuple[str, int], list[float]] = {}
    for _ in range(REPEATS):
        with tempfile.TemporaryDirectory() as folder:
            ours, plain = Path(folder) / "ours.db", Path(folder) / "plain.db"
            for path in (ours, plain):
                upgrade(f"sqlite:///{path}")
            for night in (0, 1):
                sightings = _sightings(night)
                seconds.setdefault(("ours", night), []).append(_store_ours(ours, sightings))
                seconds.setdefault(("plain", night), []).append(_store_plain(plain, sightings))
                if _state(ours) != _state(plain):
                    raise RuntimeError(f"{_state(ours)} is stored, plainly {_state(plain)}")
    found = []
    for night, what in ((0, "new videos"), (1, "known videos, next night")):
        mine, floor = (statistics.median(seconds[way, night]) for way in ("ours", "plain"))
        found.append(
            Row(
                f"{N_VIDEOS:,} observations into SQLite, {what}",
                f"{N_VIDEOS / mine:,.0f} rows/s",
                f"plain sqlite3 {N_VIDEOS / floor:,.0f} rows/s",
                f"{floor / mine:.2f}",
            )
        )
    return found


def _sightings(night: int) -> Sightings:
    seen_at = FIRST_SEEN + timedelta(days=night)
    return [
        (
            VideoFacts(
                tiktok_id=str(7_600_000_000_000_000_000 + number),
                url=f"https://site.example/@/video/{7_600_000_000_000_000_000 + number}",
                caption=f"caption {number}",
                author_key=None,
                posted_at=FIRST_SEEN - timedelta(minutes=number),
                duration_s=12.5,
                width_px=None,
                height_px=None,
                hashtags=(),
            ),
            ObservationFacts(seen_at, f"{number + 1}.5K", number + 1.5 + night, 0.1, "xhr"),
        )
        for number in range(N_VIDEOS)
    ]


def _store_ours(path: Path, sightings: Sightings) -> float:
    catalog = open_catalog(f"sqlite:///{path}")
    start = time.perf_counter()
    with catalog.write() as session:
        store_sightings(session, sightings, run_id=None, found_by=None)
    seconds = time.perf_counter() - start
    catalog.close()
    return seconds


def _store_plain(path: Path, sightings: Sightings) -> float:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        # As the catalog's own connections are set.
        for pragma in ("journal_mode = WAL", "synchronous = NORMAL", "foreign_keys = ON"):
            connection.execute(f"PRAGMA {pragma}")
        start = time.perf_counter()
        connection.execute("BEGIN IMMEDIATE")
        connection.executemany(
            PLAIN_VIDEO,
            [
                (
                    v.tiktok_id,
                    v.url,
                    v.caption,
                    _text(v.posted_at),
                    v.duration_s,
                    _text(o.observed_at),
                )
                for v, o in sightings
            ],
        )
        connection.executemany(
            PLAIN_OBSERVATION,
            [
                (v.tiktok_id, _text(o.observed_at), o.display_text, o.views_k, o.step_k)
                for v, o in sightings
            ],
        )
        connection.execute(PLAIN_LATEST)
        connection.execute("COMMIT")
        return time.perf_counter() - start


def _text(moment: datetime | None) -> str | None:
    # The form in which the catalog's times lie in SQLite.
    return None if moment is None else f"{moment:%Y-%m-%d %H:%M:%S.%f}"


def _state(path: Path) -> tuple[object, ...]:
    with closing(sqlite3.connect(path)) as connection:
        state: tuple[object, ...] = connection.execute(STATE).fetchone()
        return state
