import os
import signal
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from scraper.replica.__main__ import main
from tests.programs import HANG_S

ROOT = Path(__file__).resolve().parents[3]


@contextmanager
def served(folder, *arguments):
    """The address of a replica in a process of its own, and the process."""
    command = [sys.executable, "-m", "scraper.replica", "--media", str(folder), *arguments]
    with subprocess.Popen(
        command,
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as child:
        try:
            yield child.stdout.readline().strip(), child
        finally:
            child.kill()


def test_serves_until_it_is_told_to_stop(tmp_path):
    with served(tmp_path) as (url, child):
        assert httpx.get(f"{url}/robots.txt", trust_env=False, timeout=HANG_S).status_code == 200
        child.send_signal(signal.SIGTERM)
        assert child.wait(HANG_S) == 0


def test_faults_and_days_are_given_on_the_command_line(tmp_path):
    arguments = ["--fault", "sports=rate_limit:7,after=0", "--fault", "dance=forbidden"]
    with served(tmp_path, *arguments, "--day", "0.5", "--days-per-s", "0") as (url, _):
        refused = httpx.get(f"{url}/tag/sports", trust_env=False, timeout=HANG_S)
        assert (refused.status_code, refused.headers["retry-after"]) == (429, "7")
        assert httpx.get(f"{url}/tag/dance", trust_env=False, timeout=HANG_S).status_code == 403
        assert httpx.get(f"{url}/tag/music", trust_env=False, timeout=HANG_S).status_code == 200


def test_an_unknown_fault_is_a_mistake_in_the_command(tmp_path, capsys):
    with pytest.raises(SystemExit) as ended:
        main(["--media", str(tmp_path), "--fault", "sports=flood"])
    assert ended.value.code == 2
    assert "there is no fault 'flood'; there are ad, alert" in capsys.readouterr().err
