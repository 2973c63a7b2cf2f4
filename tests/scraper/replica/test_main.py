import os
import signal
import subprocess
import sys
from pathlib import Path

import httpx

ROOT = Path(__file__).resolve().parents[3]


def test_serves_until_it_is_told_to_stop(tmp_path):
    command = [sys.executable, "-m", "scraper.replica", "--media", str(tmp_path)]
    with subprocess.Popen(
        command,
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as child:
        try:
            url = child.stdout.readline().strip()
            assert httpx.get(f"{url}/robots.txt", trust_env=False).status_code == 200
            child.send_signal(signal.SIGTERM)
            assert child.wait(10) == 0
        finally:
            child.kill()
