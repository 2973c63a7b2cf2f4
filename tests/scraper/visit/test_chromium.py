import os
import signal
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from catalog.files import started
from scraper.errors import BrowserFailed, BrowserMissing
from scraper.visit.chromium import (
    DRIVER_LOG,
    MARK,
    PID_FILE,
    group_members,
    start_driver,
    sweep_orphans,
)
from tests.programs import HANG_S, wait_until

ROOT = Path(__file__).resolve().parents[3]
# As a run of the program: SIGTERM ends it by SystemExit, through every `with`.
CHILD = """
import signal, sys
from pathlib import Path
from scraper.visit.browser import open_browser
from scraper.politeness import Site
from scraper.settings import BrowserConfig
signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
site = Site("http://127.0.0.1:1")
with open_browser(BrowserConfig(profile_root=Path(sys.argv[1])), site):
    sys.stdout.write("up\\n")
    sys.stdout.flush()
    signal.pause()
"""


def members(root):
    """Living processes that were started for any profile below a folder."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            # Tabs overwrite their environment, but name the profile among their arguments.
            said = (folder / "environ").read_bytes() + (folder / "cmdline").read_bytes()
        except OSError:
            continue
        is_ours = f"{MARK}={root}/".encode() in said or f"--user-data-dir={root}/".encode() in said
        if is_ours and started(int(folder.name)) is not None:
            found.append(int(folder.name))
    return found


@pytest.fixture
def browsing(profiles):
    """Another process with a browser that is up."""
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD, str(profiles)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    with child:
        assert child.stdout.readline() == "up\n"
        yield child
        child.kill()
    sweep_orphans(profiles)


def fake_driver(folder, monkeypatch, script):
    """Put a chromedriver of our own making first on the PATH."""
    program = folder / "chromedriver"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")


@pytest.mark.chromium
def test_sigterm_leaves_nothing(browsing, profiles):
    assert len(members(profiles)) >= 5
    browsing.send_signal(signal.SIGTERM)
    assert browsing.wait(HANG_S) == 143
    assert members(profiles) == []
    assert list(profiles.iterdir()) == []


def guard_of(parent):
    """The shell that waits for the parent's end."""
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            name, _, rest = (folder / "stat").read_text().rpartition(")")
        except OSError:
            continue
        if name.endswith("(sh") and int(rest.split()[1]) == parent:
            return int(folder.name)
    raise AssertionError(f"process {parent} has no guard")


@pytest.mark.chromium
def test_a_browser_is_ended_at_once_when_its_parent_is_killed(browsing, profiles):
    assert members(profiles)
    browsing.kill()
    browsing.wait()
    wait_until(lambda: members(profiles) == [])


@pytest.mark.chromium
@pytest.mark.parametrize("driver_dies_too", [False, True])
def test_what_a_killed_parent_left_is_ended_at_the_next_start(browsing, profiles, driver_dies_too):
    (profile,) = profiles.iterdir()
    assert sweep_orphans(profiles) == 0  # its parent lives
    before = members(profiles)
    os.kill(guard_of(browsing.pid), signal.SIGKILL)
    browsing.kill()
    browsing.wait()
    assert members(profiles)
    if driver_dies_too:
        driver = next(p for p in before if Path(f"/proc/{p}/comm").read_text() == "chromedriver\n")
        os.kill(driver, signal.SIGKILL)
    with start_driver(profiles):
        assert not profile.exists()
        assert len(members(profiles)) == 1
    assert members(profiles) == []
    assert list(profiles.iterdir()) == []


@pytest.mark.chromium
@pytest.mark.parametrize("error", [KeyError, SystemExit, KeyboardInterrupt])
def test_a_driver_is_gone_after_any_error(profiles, error):
    seen = []

    def break_off():
        with start_driver(profiles) as driver:
            seen.append(driver.pid)
            raise error

    with pytest.raises(error):
        break_off()
    assert group_members(seen[0]) == []
    assert list(profiles.iterdir()) == []


@pytest.mark.chromium
def test_a_driver_that_hangs_is_gone_as_well(profiles):
    with start_driver(profiles) as driver:
        os.kill(driver.pid, signal.SIGSTOP)
    assert group_members(driver.pid) == []


def test_a_missing_driver_is_named(profiles, monkeypatch):
    monkeypatch.setenv("PATH", "")
    with pytest.raises(BrowserMissing, match="chromedriver"), start_driver(profiles):
        pass


def test_a_driver_that_does_not_start_is_told_with_its_last_words(profiles, tmp_path, monkeypatch):
    fake_driver(tmp_path, monkeypatch, "echo no such library >&2; exit 1")
    with pytest.raises(BrowserFailed, match="no such library"), start_driver(profiles):
        pass
    assert list(profiles.iterdir()) == []


def test_children_outside_the_drivers_group_are_ended_too(profiles, tmp_path, monkeypatch):
    fake_driver(
        tmp_path,
        monkeypatch,
        "setsid sleep 1000 & echo ChromeDriver was started successfully on port 5.; wait",
    )
    with start_driver(profiles) as driver:
        assert driver.url == "http://127.0.0.1:5"
        assert (driver.profile / DRIVER_LOG).exists()
    assert members(profiles) == []


def test_the_driver_gets_nothing_of_our_environment(profiles, tmp_path, monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", "http://x")
    monkeypatch.setenv("VIEWCAST_AUTHOR_SALT", "secret")
    words = "echo ChromeDriver was started successfully on port 5.; exec sleep 1000"
    fake_driver(tmp_path, monkeypatch, words)
    with start_driver(profiles) as driver:
        environment = Path(f"/proc/{driver.pid}/environ").read_bytes()
    assert b"PROXY=http" not in environment
    assert b"secret" not in environment


def test_a_pid_that_is_somebody_elses_by_now_is_left_alone(profiles):
    folder = profiles / "pold"
    folder.mkdir()
    with subprocess.Popen(["sleep", "1000"]) as other:
        # The same pid with another start time is another program.
        (folder / PID_FILE).write_text(
            f'{{"parent": 1, "parent_ticks": -1, "driver": {other.pid}, "driver_ticks": -1}}'
        )
        assert sweep_orphans(profiles) == 0
        assert other.poll() is None
        other.kill()
    assert not folder.exists()


def test_a_profile_without_its_file_is_left_alone_until_it_is_old(profiles):
    (profiles / "pnew").mkdir()
    (profiles / "pold").mkdir()
    os.utime(profiles / "pold", (1, 1))
    sweep_orphans(profiles)
    assert [p.name for p in profiles.iterdir()] == ["pnew"]


def test_a_file_that_cannot_be_read_costs_nothing(profiles):
    (profiles / "podd").mkdir()
    (profiles / "podd" / PID_FILE).write_text("{")
    assert sweep_orphans(profiles) == 0


def test_a_folder_that_may_be_somebody_elses_is_refused():
    with tempfile.TemporaryDirectory() as folder:
        link = Path(folder) / "link"
        link.symlink_to(folder)
        with pytest.raises(BrowserFailed, match="profile_root"), start_driver(link):
            pass
