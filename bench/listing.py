"""Listing 3,000 cards over 12 hashtags with real Chromium, beside what the replica itself lists.

The other column of the rate is the floor: the same listings asked straight from the replica's
JSON over HTTP, without a browser, parsed and thrown away; a browser can only be slower.
"""

import json
import os
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlencode

import httpx

from bench.measure import ROOT, Row
from catalog.schema.session import open_catalog, upgrade
from scraper.items import DEFAULT_TOPICS
from scraper.replica.content import ReplicaConfig
from scraper.replica.items import challenge
from scraper.replica.server import Replica
from scraper.steps.scrape import add_hashtags

PER_TOPIC = 250
FIRST_TAGS = {topic: names[:1] for topic, names in DEFAULT_TOPICS.items()}
LOOK_EVERY_S = 0.1
KIB = 1024


def rows() -> list[Row]:
    """Scrape all twelve hashtags once and compare with the replica's own list."""
    with (
        tempfile.TemporaryDirectory() as folder,
        Replica(ReplicaConfig(videos_per_tag=PER_TOPIC), Path(folder) / "clips") as replica,
    ):
        floor_s, n_floor = _list_plainly(replica)
        data = Path(folder) / "data"
        wall_s, memory = _scrape(replica, data)
        stored, n_observations = _stored(data)
        wanted = {name: _ids(replica, name) for names in FIRST_TAGS.values() for name in names}
    n_cards = sum(len(ids) for ids in wanted.values())
    n_missed = sum(len(ids - stored.get(name, set())) for name, ids in wanted.items())
    n_too_many = n_observations - len(set().union(*stored.values()))
    what = f"{n_cards:,} cards of {len(wanted)} hashtags: "
    return [
        Row(
            what + "cards per second, all of `scrape`",
            f"{n_cards / wall_s:,.0f}",
            f"plain HTTP, nothing stored {n_floor / floor_s:,.0f}",
            f"{floor_s / wall_s * n_cards / n_floor:.2f}",
        ),
        Row(what + "missed / stored twice", f"{n_missed} / {n_too_many}", "replica's own list", ""),
        Row(
            what + "peak memory (PSS)",
            f"browser {memory.browser_mb:,.0f} MB, tool {memory.tool_mb:,.0f} MB",
            "–",
            "",
        ),
    ]


@dataclass
class Peak:
    """The largest proportional set sizes seen, of the tool and of all that it started."""

    tool_mb: float = 0.0
    browser_mb: float = 0.0
    stop: threading.Event = field(default_factory=threading.Event)

    def watch(self, pid: int) -> None:
        """Look again and again until told to stop."""
        while not self.stop.wait(LOOK_EVERY_S):
            self.tool_mb = max(self.tool_mb, _pss_mb(pid))
            self.browser_mb = max(self.browser_mb, sum(_pss_mb(p) for p in _descendants(pid)))


def _scrape(replica: Replica, data: Path) -> tuple[float, Peak]:
    url = f"sqlite:///{data / 'catalog.db'}"
    upgrade(url)
    catalog = open_catalog(url)
    add_hashtags(catalog, FIRST_TAGS)
    catalog.close()
    environment = {**os.environ, "VIEWCAST_SITE__BASE_URL": replica.url}
    command = [sys.executable, str(ROOT / "cli.py"), "--data", str(data)]
    command += ["scrape", "--limit", str(2 * PER_TOPIC), "--json"]
    peak = Peak()
    start_s = time.perf_counter()
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE) as program:
        watcher = threading.Thread(target=peak.watch, args=(program.pid,))
        watcher.start()
        said, _nothing = program.communicate()
        wall_s = time.perf_counter() - start_s
        peak.stop.set()
        watcher.join()
    if program.returncode:
        raise RuntimeError(f"scrape ended with {program.returncode}: {json.loads(said)}")
    return wall_s, peak


def _stored(data: Path) -> tuple[dict[str, set[str]], int]:
    """What the catalog has: the ids by the hashtag that listed them, and all observations."""
    connection = sqlite3.connect(data / "catalog.db")
    by_tag: dict[str, set[str]] = {}
    for name, tiktok_id in connection.execute(
        "SELECT h.name, v.tiktok_id FROM video_hashtag t JOIN hashtag h ON h.id = t.hashtag_id"
        " JOIN video v ON v.id = t.video_id WHERE t.found_by = 'listing'"
    ):
        by_tag.setdefault(name, set()).add(tiktok_id)
    [(n_observations,)] = connection.execute("SELECT count(*) FROM view_observation")
    connection.close()
    return by_tag, n_observations


def _ids(replica: Replica, name: str) -> set[str]:
    return {video.tiktok_id for video in replica.content.by_tag[name]}


def _list_plainly(replica: Replica) -> tuple[float, int]:
    n_items = 0
    start_s = time.perf_counter()
    with httpx.Client(base_url=replica.url, trust_env=False) as client:
        for names in FIRST_TAGS.values():
            for name in names:
                query = {"challengeID": challenge(name)["id"], "count": 30, "cursor": "0"}
                has_more = True
                while has_more:
                    answer = client.get(f"/api/challenge/item_list/?{urlencode(query)}").json()
                    n_items += len(answer.get("itemList", ()))
                    query["cursor"], has_more = answer["cursor"], answer["hasMore"]
    return time.perf_counter() - start_s, n_items


def _descendants(pid: int) -> list[int]:
    """Every living process below one, whatever session it is in."""
    parents: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:  # ended meanwhile
                continue
            parents[int(entry.name)] = int(fields[1])
    found, newest = set[int](), {pid}
    while newest:
        newest = {child for child, parent in parents.items() if parent in newest} - found
        found |= newest
    return sorted(found)


def _pss_mb(pid: int) -> float:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0.0
    kilobytes = next((line.split()[1] for line in lines if line.startswith("Pss:")), "0")
    return int(kilobytes) * KIB / 1e6
