import fcntl
import hashlib
import os
import signal
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from catalog.errors import Busy
from catalog.files import atomic_file, clean_text, locked, put_in_place, sha256_of, started

ROOT = Path(__file__).resolve().parents[2]
HOLDER = """
import sys
from pathlib import Path
from catalog.files import locked
with locked(Path(sys.argv[1]), "this is made"):
    sys.stdout.write("held\\n")
    sys.stdout.flush()
    sys.stdin.read()
"""


def test_a_failed_write_leaves_nothing_behind(tmp_path):
    def fail() -> None:
        with atomic_file(tmp_path / "x") as temporary:
            temporary.write_text("half")
            raise RuntimeError

    (tmp_path / "x").write_text("old")
    with pytest.raises(RuntimeError):
        fail()
    assert [p.name for p in tmp_path.iterdir()] == ["x"]
    assert (tmp_path / "x").read_text() == "old"


def test_a_file_is_on_the_disk_before_its_name_is_and_its_name_before_it_is_done(
    tmp_path, monkeypatch
):
    """A power cut cannot be had here; the order in which the disk is asked can."""
    fsync, replace, asked = os.fsync, os.replace, []

    def note_fsync(descriptor):
        found = os.fstat(descriptor)
        asked.append(("sync", found.st_ino, found.st_size))
        fsync(descriptor)

    def note_replace(source, target):
        asked.append(("name", Path(source).stat().st_ino, Path(source).stat().st_size))
        replace(source, target)

    monkeypatch.setattr(os, "fsync", note_fsync)
    monkeypatch.setattr(os, "replace", note_replace)
    target = tmp_path / "new" / "shard"
    with atomic_file(target) as temporary:
        temporary.write_bytes(b"whole")
    file = (target.stat().st_ino, 5)
    assert asked[:2] == [("sync", *file), ("name", *file)]
    folders = {inode for what, inode, _size in asked[2:] if what == "sync"}
    assert folders == {target.parent.stat().st_ino, tmp_path.stat().st_ino}


def test_a_kill_in_the_middle_of_a_write_leaves_no_name_that_anyone_reads(tmp_path):
    script = (
        "import os, signal, sys, pathlib\n"
        "from catalog.files import atomic_file\n"
        "with atomic_file(pathlib.Path(sys.argv[1])) as temporary:\n"
        "    temporary.write_bytes(b'half')\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    target = tmp_path / "folder" / "report.html"
    killed = subprocess.run(
        [sys.executable, "-c", script, str(target)],
        cwd=ROOT,
    )
    assert killed.returncode == -signal.SIGKILL
    assert not list(tmp_path.rglob("report.html"))
    assert [p.name[:1] for p in target.parent.iterdir()] == ["."]


def test_a_file_that_is_there_already_stays_if_that_is_asked_for(tmp_path):
    (tmp_path / "key").write_text("first")
    with atomic_file(tmp_path / "key", replace=False) as temporary:
        temporary.write_text("second")
    assert (tmp_path / "key").read_text() == "first"
    assert [path.name for path in tmp_path.iterdir()] == ["key"]


def test_what_is_not_there_is_not_put_in_its_place(tmp_path):
    (tmp_path / "old").write_text("old")
    with pytest.raises(FileNotFoundError):
        put_in_place(tmp_path / "new", tmp_path / "old")
    assert (tmp_path / "old").read_text() == "old"


# --- locks


@pytest.fixture
def holder(tmp_path):
    """Another process, which holds the lock x.lock."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path / "x.lock")],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as child:
        assert child.stdout.readline() == "held\n"
        yield child
        child.kill()


def take(path, what="this is made"):
    with locked(path, what):
        return True


def test_a_lock_is_of_one_process_and_says_of_which(holder, tmp_path):
    with pytest.raises(Busy, match=f"this is made by process {holder.pid} on ") as told:
        take(tmp_path / "x.lock")
    assert told.value.exit_code == 5
    holder.communicate()
    assert take(tmp_path / "x.lock")


def test_a_lock_of_a_killed_process_is_free(holder, tmp_path):
    holder.kill()
    holder.wait()
    assert (tmp_path / "x.lock").exists()
    assert take(tmp_path / "x.lock")


def test_a_lock_leaves_no_file_and_makes_its_folder(tmp_path):
    with pytest.raises(RuntimeError), locked(tmp_path / "new" / "x.lock", "x"):
        raise RuntimeError
    assert list((tmp_path / "new").iterdir()) == []


def test_one_process_does_not_hold_a_lock_twice(tmp_path):
    path = tmp_path / "x.lock"
    with locked(path, "x"):
        with pytest.raises(Busy):
            take(path)
        with pytest.raises(Busy):  # the refused one has freed nothing
            take(path)


def test_of_three_who_want_a_lock_that_is_just_given_back_one_has_it(tmp_path, monkeypatch):
    """B opens it, A removes it and ends, B locks what it has opened, C opens: a new one."""
    path = tmp_path / "x.lock"
    first, flock = ExitStack(), fcntl.flock
    first.enter_context(locked(path, "A"))

    def first_ends_just_now(descriptor, how):
        monkeypatch.setattr(fcntl, "flock", flock)
        first.close()
        return flock(descriptor, how)

    monkeypatch.setattr(fcntl, "flock", first_ends_just_now)
    with locked(path, "B"):
        assert fcntl.flock is flock
        with pytest.raises(Busy):
            take(path)
    assert take(path)


def test_a_link_in_a_locks_place_is_not_followed(tmp_path):
    (tmp_path / "x.lock").symlink_to(tmp_path / "victim")
    with pytest.raises(OSError, match="symbolic"):
        take(tmp_path / "x.lock")
    assert not (tmp_path / "victim").exists()


# --- processes


def test_a_process_has_its_start_until_it_is_dead(holder):
    began = started(holder.pid)
    assert began is not None
    assert began >= started(os.getpid())
    holder.send_signal(signal.SIGKILL)
    os.waitid(os.P_PID, holder.pid, os.WEXITED | os.WNOWAIT)
    assert started(holder.pid) is None  # before its parent collects it
    holder.wait()
    assert started(holder.pid) is None


@pytest.mark.skipif(not psutil.LINUX, reason="only Linux counts from its boot")
def test_a_start_is_the_kernels_own_count_whatever_the_clock_is_set_to(monkeypatch):
    """Runs in the catalogs of older versions have this very number."""
    stat = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
    assert started(os.getpid()) == int(stat[19])
    really = psutil._pslinux.boot_time
    monkeypatch.setattr("psutil._pslinux.boot_time", lambda: really() + 3600)
    assert started(os.getpid()) == int(stat[19])


# --- checksums and text


@given(st.lists(st.binary(max_size=20), min_size=1, max_size=4))
def test_a_checksum_is_that_of_the_files_joined(tmp_path_factory, parts):
    folder = tmp_path_factory.mktemp("parts")
    files = [folder / str(number) for number in range(len(parts))]
    for file, part in zip(files, parts, strict=True):
        file.write_bytes(part)
    assert sha256_of(*files) == hashlib.sha256(b"".join(parts)).hexdigest()


@given(st.text(st.characters()))  # halves of surrogate pairs too
def test_a_clean_text_can_be_stored_and_loses_nothing_else(text):
    clean = clean_text(text)
    assert "\0" not in clean
    assert clean.encode("utf-8").decode("utf-8") == clean
    kept = [c for c in text if c != "\0" and not "\ud800" <= c <= "\udfff"]
    assert clean == "".join(kept)


@pytest.mark.parametrize("value", [None, 5, [], b"x"])
def test_what_is_no_text_is_an_empty_one(value):
    assert clean_text(value) == ""
