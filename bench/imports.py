"""Importing a CSV of a million rows, beside plain sqlite3 with the same rows and nothing else.

Both read the same file and end with the same videos, authors, hashtags, links and observations. The
plain way is the floor: it believes every cell, hashes no author, merges nothing with what is known,
and knows that no other program writes.
"""

import csv
import os
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

from bench.measure import ROOT, Row, peak_memory_mb
from catalog.schema.session import upgrade

N_ROWS = int(os.environ.get("BENCH_IMPORT_ROWS", "1000000"))
BATCH = 1_000
LOOK_EVERY_S = 0.2
HEADER = ("id", "author", "desc", "createTime", "playCount", "duration", "hashtags")
FIRST_POST_S = 1_600_000_000
N_AUTHORS = 200_000
HASHTAGS = ("dance", "fyp")


def rows() -> list[Row]:
    """Import a tenth and the whole with ours, the whole plainly; one run each, it takes minutes."""
    with tempfile.TemporaryDirectory() as folder:
        whole, tenth = Path(folder) / "whole.csv", Path(folder) / "tenth.csv"
        write_csv(whole, N_ROWS)
        write_csv(tenth, N_ROWS // 10)
        _few_s, few_mb = _import_ours(tenth, Path(folder) / "few")
        ours_s, ours_mb = _import_ours(whole, Path(folder) / "ours")
        plain_s = _import_plain(whole, Path(folder) / "plain")
        mine, floor = (_state(Path(folder) / name) for name in ("ours", "plain"))
    if mine != floor:
        raise RuntimeError(f"{mine} is stored, plainly {floor}")
    what = f"CSV of {N_ROWS:,} rows into SQLite: "
    return [
        Row(
            what + "rows per second",
            f"{N_ROWS / ours_s:,.0f}",
            f"plain sqlite3 {N_ROWS / plain_s:,.0f}",
            f"{plain_s / ours_s:.2f}",
        ),
        Row(
            what + "peak memory",
            f"{ours_mb:,.0f} MB",
            f"a tenth of the rows {few_mb:,.0f} MB",
            f"{few_mb / ours_mb:.2f}",
        ),
    ]


def write_csv(path: Path, n_rows: int) -> None:
    """Write rows with ids and times as the site gives them, each author with five videos."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(HEADER)
        for i in range(n_rows):
            second = FIRST_POST_S + i * 37
            views = 100 + i * 7919 % 10_000_000
            author = f"author{i % N_AUTHORS}"
            caption = f"caption {i}, with #dance"
            # Odd: multiples of 1024 are refused, as ids that a program has rounded.
            row = (
                second << 32 | i << 1 | 1,
                author,
                caption,
                second + 5,
                views,
                5 + i % 55,
                "dance fyp",
            )
            writer.writerow(row)


def _import_ours(path: Path, data: Path) -> tuple[float, float]:
    upgrade(f"sqlite:///{data / 'catalog.db'}")
    command = [sys.executable, str(ROOT / "cli.py"), "--data", str(data)]
    command += ["import", str(path), "--json"]
    start_s = time.perf_counter()
    peak_mb = 0.0
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as program:
        while program.poll() is None:
            # Its own record, not the parent's of its children, which begins with the parent's size.
            peak_mb = max(peak_mb, peak_memory_mb(program.pid))
            time.sleep(LOOK_EVERY_S)
    if program.returncode:
        raise RuntimeError(f"import ended with {program.returncode}")
    return time.perf_counter() - start_s, peak_mb


def _import_plain(path: Path, data: Path) -> float:
    upgrade(f"sqlite:///{data / 'catalog.db'}")
    seen_at = datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S.%f")
    with closing(sqlite3.connect(data / "catalog.db", isolation_level=None)) as connection:
        for pragma in ("journal_mode = WAL", "synchronous = NORMAL", "foreign_keys = ON"):
            connection.execute(f"PRAGMA {pragma}")
        start_s = time.perf_counter()
        connection.executemany("INSERT INTO hashtag (name) VALUES (?)", [(n,) for n in HASHTAGS])
        for batch in _batches(path):
            connection.execute("BEGIN IMMEDIATE")
            _insert_plainly(connection, batch, seen_at)
            connection.execute("COMMIT")
        return time.perf_counter() - start_s


def _insert_plainly(
    connection: sqlite3.Connection, batch: list[dict[str, str]], seen_at: str
) -> None:
    connection.executemany(
        "INSERT OR IGNORE INTO account (author_key, platform) VALUES (:author, 'tiktok')", batch
    )
    connection.executemany(
        "INSERT INTO video (tiktok_id, platform, url, caption, account_id, posted_at, duration_s,"
        " first_seen_at) SELECT :id, 'tiktok', 'https://www.tiktok.com/@/video/' || :id, :desc, id,"
        f" datetime(:createTime, 'unixepoch'), :duration, '{seen_at}' FROM account"
        " WHERE author_key = :author AND platform = 'tiktok'",
        batch,
    )
    connection.executemany(
        "INSERT INTO video_hashtag (video_id, hashtag_id, found_by) SELECT v.id, h.id, 'caption'"
        " FROM video v, hashtag h WHERE v.tiktok_id = :id AND v.platform = 'tiktok'",
        batch,
    )
    connection.executemany(
        "INSERT INTO view_observation (video_id, observed_at, display_text, views_k, step_k,"
        f" source) SELECT id, '{seen_at}', :playCount, :playCount / 1000.0, 0, 'import' FROM video"
        " WHERE tiktok_id = :id AND platform = 'tiktok'",
        batch,
    )
    connection.executemany(
        "UPDATE video SET latest_observation_id = (SELECT o.id FROM view_observation o WHERE"
        " o.video_id = video.id) WHERE tiktok_id = :id AND platform = 'tiktok'",
        batch,
    )


def _batches(path: Path) -> Iterator[list[dict[str, str]]]:
    with path.open(encoding="utf-8", newline="") as file:
        batch: list[dict[str, str]] = []
        for row in csv.DictReader(file):
            batch.append(row)
            if len(batch) == BATCH:
                yield batch
                batch = []
        if batch:
            yield batch


def _state(data: Path) -> tuple[object, ...]:
    with closing(sqlite3.connect(data / "catalog.db")) as connection:
        counts = [
            connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
            for table in ("video", "account", "hashtag", "video_hashtag", "view_observation")
        ]
        total = connection.execute(
            "SELECT round(total(o.views_k)) FROM video v"
            " JOIN view_observation o ON o.id = v.latest_observation_id"
        ).fetchone()[0]
    return (*counts, total)
