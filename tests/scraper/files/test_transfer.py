import os
import subprocess
import sys
from pathlib import Path

import pytest

from scraper.errors import DownloadFailed
from scraper.files.transfer import drop_part, hold_part

ROOT = Path(__file__).resolve().parents[3]
CHILD = """
import sys
from pathlib import Path
from scraper.files.transfer import hold_part
with hold_part(Path(sys.argv[1])) as part:
    part.path.write_bytes(b"begun")
    part.remember("tag")
    sys.stdout.write("held\\n")
    sys.stdout.flush()
    sys.stdin.read()
"""


@pytest.fixture
def target(tmp_path):
    return tmp_path / "1.mp4"


@pytest.fixture
def other(target):
    """Another process that holds the same part."""
    with subprocess.Popen(
        [sys.executable, "-c", CHILD, str(target)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as child:
        assert child.stdout.readline() == "held\n"
        yield child
        child.kill()


def names(target):
    return sorted(path.name for path in target.parent.iterdir())


def test_two_processes_never_share_a_part(other, target):
    with pytest.raises(DownloadFailed, match=r"1\.mp4: another process"), hold_part(target):
        pass
    drop_part(target)
    assert (target.parent / "1.mp4.part").read_bytes() == b"begun"


def test_what_a_killed_process_has_left_is_taken_over(other, target):
    other.kill()
    other.wait()
    assert names(target) == ["1.mp4.etag", "1.mp4.lock", "1.mp4.part"]
    with hold_part(target) as part:
        assert (part.n_bytes, part.etag) == (5, "tag")
    assert names(target) == ["1.mp4.etag", "1.mp4.part"]


def test_one_process_cannot_hold_it_twice_either(target):
    with hold_part(target), pytest.raises(DownloadFailed), hold_part(target):
        pass
    assert names(target) == []


def test_what_nobody_goes_on_with_is_removed(target):
    with hold_part(target) as part:
        os.close(part.open(append=False))
        part.remember("tag")
    assert names(target) == ["1.mp4.etag", "1.mp4.part"]
    drop_part(target)
    assert names(target) == []
    drop_part(target.parent / "nowhere" / "1.mp4")
