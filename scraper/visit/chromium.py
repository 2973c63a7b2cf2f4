"""Start Chromium and its driver in a group of their own, and end every process of it again.

A driver that hangs, a tab that loops and a parent that is killed all leave up to ten processes
behind. So nothing is trusted to quit: the whole group is killed, and what a killed parent left
is found again at the next start, by the files in its profile folder, never by a program's name.
A user-data folder that a person keeps between runs lies elsewhere and is never removed.
"""

import json
import logging
import os
import platform
import re
import select
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import psutil

from catalog.errors import Busy
from catalog.files import atomic_file, locked, started
from scraper.errors import BrowserFailed, BrowserMissing

log = logging.getLogger(__name__)

PID_FILE = "viewcast.json"
# In the driver's environment and in the browser's arguments: tells whose they are even if the
# parent was killed before it could write down the driver's pid, or the driver with it.
MARK = "VIEWCAST_PROFILE"
USER_DATA = "--user-data-dir"
# A switch that Chromium does not know: it stays among its arguments, whosever its user data are.
MARK_SWITCH = "--viewcast-profile"
# How Chromium marks a user-data folder as its own: links, the first to HOST-PID.
SINGLETON = "SingletonLock"
SINGLETONS = (SINGLETON, "SingletonCookie", "SingletonSocket")
KEPT_LOCK = "viewcast.lock"
# Where a window is shown, and who may show one there.
DISPLAY = ("DISPLAY", "WAYLAND_DISPLAY", "XAUTHORITY", "XDG_RUNTIME_DIR")
STARTED = re.compile(r"started successfully on port ([0-9]{1,5})")
START_S = 20.0
KILL_S = 5.0
DRIVER_LOG = "driver.log"


@dataclass(frozen=True)
class Driver:
    """A running chromedriver; pid is also the id of the group that the browser will be in.

    profile: its own folder, gone with it. user_data: the browser's, in there unless it is kept.
    """

    pid: int
    url: str
    profile: Path
    user_data: Path

    @property
    def switches(self) -> tuple[str, str]:
        """By which a browser has its folder, and is found by it."""
        return f"{USER_DATA}={self.user_data}", f"{MARK_SWITCH}={self.profile}/"


def default_profile_root() -> Path:
    """Name the folder for profiles; short, since Chromium puts a socket's path below it."""
    return Path(tempfile.gettempdir()) / f"viewcast-{os.getuid()}"


def find_program(name: str) -> str:
    """Return a program's path. Raises BrowserMissing."""
    found = shutil.which(name)
    if found is None:
        raise BrowserMissing(f"{name} is not on the PATH: install Chromium and its driver")
    return found


@contextmanager
def start_driver(
    profile_root: Path, *, kept: Path | None = None, is_headful: bool = False
) -> Iterator[Driver]:
    """Run chromedriver with a fresh profile; at the end, however it comes, all of it is gone.

    Sweeps first what an earlier, killed parent left. kept: a user-data folder that stays, for this
    process alone. Raises BrowserMissing, BrowserFailed, and Busy where somebody else has `kept`.
    """
    program = find_program("chromedriver")
    if is_headful and not any(os.environ.get(name) for name in DISPLAY[:2]):
        raise BrowserFailed(f"browser.headful needs a display: neither of {DISPLAY[:2]} is set")
    _make_root(profile_root)
    sweep_orphans(profile_root)
    pid: int | None = None
    with ExitStack() as held:
        # First, so that it is held until every process is gone.
        kept = held.enter_context(_hold_user_data(kept, profile_root)) if kept else None
        profile = Path(tempfile.mkdtemp(prefix="p", dir=profile_root))
        held.callback(_remove, profile)
        held.callback(lambda: _kill(pid, profile))
        _write_pid_file(profile, None)
        with (profile / DRIVER_LOG).open("wb") as errors:
            process = subprocess.Popen(
                [program, "--port=0", "--log-level=SEVERE"],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=errors,
                env=_environment(profile, is_headful=is_headful),
                start_new_session=True,
            )
        pid = process.pid
        with process, guard_group(pid):
            try:
                _write_pid_file(profile, pid)
                url = f"http://127.0.0.1:{_read_port(process, profile)}"
                yield Driver(pid, url, profile, kept or profile / "u")
            finally:
                # Before `with` waits for the driver, which may hang.
                _kill_group(pid)


@contextmanager
def _hold_user_data(folder: Path, profile_root: Path) -> Iterator[Path]:
    """Hold a folder that a person keeps for this process alone, whoever left it how."""
    folder = folder.expanduser().resolve()
    if folder.is_relative_to(profile_root.resolve()):
        raise BrowserFailed(
            f"browser.profile {folder} lies in {profile_root}, where left-over folders are removed"
        )
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    with locked(folder / KEPT_LOCK, f"the profile {folder} is used"):
        _clear_singletons(folder)
        yield folder


def _clear_singletons(folder: Path) -> None:
    """Remove the marks of a browser that is gone. Raises Busy while it may be there."""
    mark = folder / SINGLETON
    if not mark.is_symlink():
        return
    host, _, number = str(mark.readlink()).rpartition("-")
    pid = int(number) if number.isdecimal() else None
    if host != platform.node() or pid is None:
        raise Busy(
            f"the profile {folder} is used by a browser on {host or 'an unknown machine'}: close "
            f"it there, or remove {mark} if there is none"
        )
    if _is_as_old(pid, mark):
        raise Busy(f"the profile {folder} is used by process {pid}: close that browser first")
    for name in SINGLETONS:
        (folder / name).unlink(missing_ok=True)


def _is_as_old(pid: int, mark: Path) -> bool:
    """Tell whether a process may have made that mark: one begun later has only its number."""
    try:
        # Its start is known to the tick, and the clock may have been set a little.
        is_older = psutil.Process(pid).create_time() <= mark.lstat().st_mtime + 60.0
        return is_older and started(pid) is not None
    except (psutil.NoSuchProcess, FileNotFoundError):
        return False


@contextmanager
def guard_group(group: int) -> Iterator[None]:
    """Have a group killed the moment that this process is gone, however it went.

    The guard waits for a word on a pipe that nobody else holds: the kernel closes it even after
    kill -9. It is told to leave before the group's number can be anybody else's.
    """
    # `kill -KILL -- -N` is an error in dash; `-s KILL` is the portable form.
    script = 'read -r word || kill -s KILL -- "-$1"'
    guard = subprocess.Popen(
        ["/bin/sh", "-c", script, "sh", str(group)],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        yield
    finally:
        with suppress(BrokenPipeError):
            guard.communicate(b"done\n", timeout=KILL_S)


def sweep_orphans(profile_root: Path) -> int:
    """End what is left of browsers whose parent is dead; return how many processes there were."""
    n_killed = 0
    for profile in sorted(profile_root.glob("p*")):
        try:
            facts = json.loads((profile / PID_FILE).read_text())
            parent, parent_ticks = int(facts["parent"]), facts["parent_ticks"]
            driver, driver_ticks = facts["driver"], facts["driver_ticks"]
        except FileNotFoundError:
            # Being made or being removed just now. Without our file it is ours only if it is empty:
            # whoever has the root among their own folders loses none of them.
            if _age_s(profile) >= 60:
                with suppress(OSError):
                    profile.rmdir()
            continue
        except (OSError, ValueError, KeyError, TypeError) as error:
            log.warning("%s cannot be read (%s): left alone", profile / PID_FILE, error)
            continue
        if parent_ticks is not None and started(parent) == parent_ticks:
            continue
        # A pid alone may be another program's by now; with its start time it is not.
        is_ours = driver is not None and driver_ticks is not None
        is_ours = is_ours and started(int(driver)) == driver_ticks
        n_killed += _kill(int(driver) if is_ours else None, profile)
        _remove(profile)
    if n_killed:
        log.warning("ended %d browser processes that a killed parent had left", n_killed)
    return n_killed


def group_members(group: int) -> list[int]:
    """List the living processes of a group; the dead that nobody has waited for do not count."""
    return [process.pid for process in _living() if _group(process.pid) == group]


def marked_members(profile: Path) -> list[int]:
    """List the living processes that were started for a profile, whatever their group."""
    found = []
    for process in _living():
        with suppress(psutil.Error):  # ended meanwhile, or another user's
            # The driver has our variable. The browser writes over its own, but keeps its arguments.
            is_browser = f"{MARK_SWITCH}={profile}/" in " ".join(process.cmdline())
            if is_browser or process.environ().get(MARK) == str(profile):
                found.append(process.pid)
    return found


def _kill(group: int | None, profile: Path) -> int:
    """Kill a group and whoever carries the profile's mark, and wait until they are gone."""
    seen: set[int] = set()
    deadline_s = time.monotonic() + KILL_S
    while True:
        left = set(marked_members(profile))
        # A tab shows neither mark, but is in the group of the browser that has it.
        groups = {_group(pid) for pid in left} | {group}
        for number in groups - {None, os.getpgrp()}:
            left |= set(group_members(cast(int, number)))
        for pid in left:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        seen |= left
        if not left:
            return len(seen)
        if time.monotonic() > deadline_s:
            log.error("processes %s of %s outlived SIGKILL", sorted(left), profile)
            return len(seen)
        time.sleep(0.01)


def _kill_group(group: int) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(group, signal.SIGKILL)


def _group(pid: int) -> int | None:
    try:
        return os.getpgid(pid)
    except ProcessLookupError:
        return None


def _make_root(root: Path) -> None:
    root.mkdir(parents=True, exist_ok=True, mode=0o700)
    facts = root.lstat()
    # In a shared temporary folder somebody else may have made it, to read cookies or be swept.
    if facts.st_uid != os.getuid() or root.is_symlink():
        raise BrowserFailed(f"{root} is not a folder of this user: choose another profile_root")


def _write_pid_file(profile: Path, driver: int | None) -> None:
    facts = {
        "parent": os.getpid(),
        "parent_ticks": started(os.getpid()),
        "driver": driver,
        "driver_ticks": None if driver is None else started(driver),
    }
    with atomic_file(profile / PID_FILE) as new:
        new.write_text(json.dumps(facts))


def _environment(profile: Path, *, is_headful: bool) -> dict[str, str]:
    # Nothing of ours but the PATH: no proxy, no key, no folder of the user's own.
    folder = str(profile)
    shown: dict[str, str] = {}
    if is_headful:
        # The home is another one, so that the default place of this file has to be said.
        shown["XAUTHORITY"] = str(Path.home() / ".Xauthority")
        shown |= {name: os.environ[name] for name in DISPLAY if name in os.environ}
    return {
        "PATH": os.environ.get("PATH", os.defpath),
        "LANG": "C.UTF-8",
        "HOME": folder,
        "TMPDIR": folder,
        "XDG_RUNTIME_DIR": folder,
        "DBUS_SESSION_BUS_ADDRESS": "disabled:",
        MARK: folder,
        **shown,
    }


def _read_port(process: subprocess.Popen[bytes], profile: Path) -> int:
    """Read from the driver's own words which port it took, so that no port is guessed."""
    assert process.stdout is not None
    deadline_s = time.monotonic() + START_S
    said = b""
    while (match := STARTED.search(said.decode("utf-8", "replace"))) is None:
        left_s = deadline_s - time.monotonic()
        ready, _, _ = select.select([process.stdout], [], [], max(left_s, 0.0))
        block = os.read(process.stdout.fileno(), 4096) if ready else b""
        if not block:
            words = (said + (profile / DRIVER_LOG).read_bytes())[-300:].decode("utf-8", "replace")
            raise BrowserFailed(f"chromedriver did not start within {START_S:.0f} s: {words!r}")
        said += block
    return int(match[1])


def _remove(profile: Path) -> None:
    # A process that is being killed may still make a file while we remove its folder.
    for _ in range(3):
        # By its file it is known as ours, so that goes last.
        for path in profile.glob("*"):
            shutil.rmtree(path, ignore_errors=True)
            if path.name != PID_FILE:
                with suppress(OSError):
                    path.unlink()
        shutil.rmtree(profile, ignore_errors=True)
        if not profile.exists():
            return
    log.warning("%s could not be removed", profile)


def _age_s(path: Path) -> float:
    try:
        return time.time() - path.stat().st_mtime
    except FileNotFoundError:
        return 0.0


def _living() -> Iterator[psutil.Process]:
    for process in psutil.process_iter():
        with suppress(psutil.NoSuchProcess):
            if process.status() not in (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD):
                yield process
