"""The benchmarks can be started: each is there under its name, and imports what it measures."""

import subprocess
import sys

from tests.programs import ROOT


def test_an_unknown_benchmark_is_refused_with_the_names_of_the_others() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "bench", "nothing"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2, done.stderr
    names = done.stderr.partition("there are ")[2].strip().split(", ")
    files = {path.stem for path in (ROOT / "bench").glob("*.py")}
    assert len(names) >= 6
    assert set(names) <= files
