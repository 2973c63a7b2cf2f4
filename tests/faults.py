"""Provoke each fault of the replica with the real program, and tell what came of it.

`python -m tests.faults` writes the table of docs/data.md anew; tests/test_faults.py holds it true.
"""

import json
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from catalog.schema.session import upgrade
from scraper.replica.content import ReplicaConfig
from scraper.replica.faults import FAULTS, make_fault
from scraper.replica.server import Replica
from tests.programs import HANG_S, ROOT, SETTINGS, ask, command, environment

PAGE = ROOT / "docs" / "data.md"
BLOCK = re.compile(r"(?<=<!-- faults -->\n).*?(?=<!-- /faults -->)", re.DOTALL)
HASHTAG = "sports"
# In parts of twelve, and more than fit a window: a fault that strikes after the first part, or the
# first scroll, finds something to lose.
SITE = ReplicaConfig(videos_per_tag=40, page_size=12, topics=("Sports",))
# Files are fetched, too, where the fault is in a video's own page or file.
WITH_FETCH = frozenset(
    {
        "truncated_mp4",
        "html_as_mp4",
        "png_as_mp4",
        "redirect_file",
        "redirect_inner",
        "redirect_port",
        "expired_url",
        "endless_body",
        "slow",
        "private",
        "removed",
        "region_locked",
    }
)
N_FETCHED = {"region_locked": 20}
# Short, so that what never ends is given up in seconds; the defaults are for a real line.
LIMITS = """
max_wait_s = 5
[browser]
page_s = 15
script_s = 10
command_s = 17
look_s = 2
[fetch]
max_s = 60
max_mb = 6
"""


@dataclass(frozen=True)
class Came:
    """What one command made of a fault."""

    exit_code: int
    codes: Mapping[str, int]
    left_out: Mapping[str, int]
    stopped: Mapping[str, int]

    def words(self) -> str:
        """Say it for the table: the codes, what was left out and why, the exit code."""
        said = [f"`{code}`" + (f" {n}" if n > 1 else "") for code, n in sorted(self.codes.items())]
        out = ", ".join(f"{reason} {n}" for reason, n in sorted(self.left_out.items()))
        # How a listing ended is part of its code, if it has one.
        ends = [] if said else [f"`{reason}`" for reason in sorted(self.stopped)]
        return "; ".join([*said, *ends, *([f"left out: {out}"] if out else [])] or ["`ok`"])


@dataclass(frozen=True)
class FaultRun:
    """What came of one fault. n_stored: videos after `scrape`; n_left: living processes."""

    name: str
    n_stored: int
    scrape: Came
    fetch: Came | None
    n_left: int

    def line(self) -> str:
        """Give the table's line."""
        fetch = "" if self.fetch is None else f"{self.fetch.words()} ({self.fetch.exit_code})"
        cells = (
            f"`{self.name}`",
            FAULTS[self.name].summary.partition("\n")[0].rstrip("."),
            str(self.n_stored),
            f"{self.scrape.words()} ({self.scrape.exit_code})",
            fetch,
            str(self.n_left),
        )
        return "| " + " | ".join(cells) + " |"


def provoke(name: str, clips: Path) -> FaultRun:
    """Run `scrape`, and `fetch` where it matters, against a site with this fault.

    clips: where the replica keeps its files, so that they are made once for many faults.
    """
    # Not pytest's folder: the path of a socket below the browser's profile would be too long.
    with (
        tempfile.TemporaryDirectory(prefix="vc") as folder,
        Replica(SITE, clips, faults={HASHTAG: make_fault(name)}) as site,
    ):
        data = Path(folder) / "data"
        data.mkdir()
        upgrade(f"sqlite:///{data / 'catalog.db'}")
        (data / SETTINGS).write_text(f'[site]\nbase_url = "{site.url}"{LIMITS}')
        scrape = _run(data, "scrape", "--hashtag", HASHTAG, "--limit", "50")
        [(n_stored,)] = ask(data, "SELECT count(*) FROM video")
        fetch = None
        if name in WITH_FETCH and n_stored:
            fetch = _run(data, "fetch", "--limit", str(N_FETCHED.get(name, 4)))
        return FaultRun(name, n_stored, scrape, fetch, len(living(folder)))


def table(clips: Path, names: list[str] | None = None) -> str:
    """Provoke every fault and lay out what came of them."""
    head = [
        "| switch | what the site does | stored | `scrape` (exit) | `fetch` (exit) | left |",
        "|---|---|---|---|---|---|",
    ]
    return "\n".join([*head, *(provoke(name, clips).line() for name in names or FAULTS)]) + "\n"


def _run(data: Path, *arguments: str) -> Came:
    done = subprocess.run(
        command(data, *arguments, "--json"),
        cwd=data,
        env={**environment(), "TMPDIR": str(data.parent)},
        capture_output=True,
        text=True,
        check=False,
        timeout=HANG_S,
    )
    last_words = {"codes": {done.stderr.strip().splitlines()[-1]: 1}} if done.stderr else {}
    said: dict[str, Any] = json.loads(done.stdout) if done.stdout else last_words
    codes = said.get("codes", said.get("outcome", {}).get("codes", {}))
    return Came(done.returncode, codes, said.get("rejected", {}), said.get("stopped", {}))


def living(folder: str) -> list[int]:
    """Every process that was started for something in a folder, whoever its parent is."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            words = (entry / "cmdline").read_bytes() + (entry / "environ").read_bytes()
        except OSError:  # ended meanwhile, or another user's
            continue
        if folder.encode() in words:
            found.append(int(entry.name))
    return found


def main(names: list[str]) -> None:
    """Write the table into docs/data.md; with names, print only those lines."""
    clips = Path(tempfile.mkdtemp(prefix="vc"))
    try:
        text = table(clips, names)
    finally:
        shutil.rmtree(clips)
    if names:
        sys.stdout.write(text)
    else:
        page = PAGE.read_text(encoding="utf-8")
        PAGE.write_text(BLOCK.sub(lambda _found: text, page), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
