"""The replica as a program: served until it is told to stop, or written to a folder."""

import json
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest

from cli import EXIT_INTERRUPTED
from scraper.replica.content import ReplicaConfig, build_content
from scraper.replica.growth import Timeline, days_since
from tests.programs import HANG_S, command, environment, run


@contextmanager
def served(folder: Path, *arguments: str) -> Iterator[tuple[str, "subprocess.Popen[str]"]]:
    """The address of a replica in a process of its own, and the process."""
    with subprocess.Popen(
        command(folder, "replica", *arguments),
        cwd=folder,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as child:
        try:
            yield child.stdout.readline().strip(), child
        finally:
            child.kill()


def test_serves_until_it_is_told_to_stop(tmp_path: Path) -> None:
    with served(tmp_path) as (url, child):
        assert httpx.get(f"{url}/robots.txt", trust_env=False, timeout=HANG_S).status_code == 200
        child.send_signal(signal.SIGTERM)
        assert child.wait(HANG_S) == EXIT_INTERRUPTED


def test_faults_and_days_are_given_on_the_command_line(tmp_path: Path) -> None:
    arguments = ["--fault", "sports=rate_limit:7,after=0", "--fault", "dance=forbidden"]
    with served(tmp_path, *arguments, "--day", "0.5", "--days-per-s", "0") as (url, _):
        refused = httpx.get(f"{url}/tag/sports", trust_env=False, timeout=HANG_S)
        assert (refused.status_code, refused.headers["retry-after"]) == (429, "7")
        assert httpx.get(f"{url}/tag/dance", trust_env=False, timeout=HANG_S).status_code == 403
        assert httpx.get(f"{url}/tag/music", trust_env=False, timeout=HANG_S).status_code == 200


def test_new_posts_come_by_the_clock(tmp_path: Path) -> None:
    snapshot_at = (datetime.now(UTC) - timedelta(days=9)).replace(microsecond=0, tzinfo=None)
    asked = ["--per-topic", "1", "--posts-per-day", "24", "--snapshot-at", snapshot_at.isoformat()]
    with served(tmp_path, *asked) as (url, _):
        query = {"challengeName": "sports"}
        reply = httpx.get(
            f"{url}/api/challenge/detail/", params=query, trust_env=False, timeout=HANG_S
        )
    config = ReplicaConfig(
        videos_per_tag=1, posts_per_day=24, snapshot_at=snapshot_at.replace(tzinfo=UTC)
    )
    listed = Timeline(build_content(config), days_since(config.snapshot_at)).listed("sports")
    assert abs(reply.json()["challengeInfo"]["stats"]["videoCount"] - len(listed)) <= 1
    assert len(listed) > 5


@pytest.mark.parametrize("asked", [["--snapshot-at", "2026-11-01"], ["--posts-per-day", "1"]])
def test_days_are_told_by_the_clock_or_by_a_rate(tmp_path: Path, asked: list[str]) -> None:
    run(tmp_path, "replica", *asked, "--days-per-s", "1", exit_code=2)


@pytest.mark.ffmpeg
def test_it_is_written_as_an_export_that_can_be_imported(tmp_path: Path) -> None:
    written = run(tmp_path, "replica", "--per-topic", "1", "--write", "export")
    assert (written["n_videos"], written["folder"]) == (12, "export")
    described = [json.loads(path.read_text()) for path in tmp_path.glob("export/*.info.json")]
    assert len(described) == 12
    assert all((tmp_path / "export" / f"{info['id']}.mp4").is_file() for info in described)
