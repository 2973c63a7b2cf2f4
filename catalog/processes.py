"""Who a process is: a name for it that no later process on any machine will share."""

import os
import platform
import subprocess
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from pathlib import Path

PROC = Path("/proc")
LIBRARIES = ("numpy", "openai-whisper", "selenium", "sqlalchemy", "torch", "torchvision")


@dataclass(frozen=True)
class ProcessName:
    """A process: its machine, its number, and the moment it started, which the number lacks."""

    host: str
    pid: int
    started: str

    def is_here(self) -> bool:
        """Say whether it belongs to this machine, so that its number means something here."""
        return self.host == this_host()

    def is_dead(self) -> bool:
        """Say whether it has certainly ended; False for another machine's."""
        return self.is_here() and started(self.pid) != self.started


@cache
def this_host() -> str:
    """Return a name for this machine, since its boot, as far as process numbers reach."""
    # Two containers may share a host name and still count their processes apart.
    boot = _read(PROC / "sys/kernel/random/boot_id")
    try:
        numbers = str((PROC / "self/ns/pid").readlink())
    except OSError:
        numbers = ""
    return " ".join(part for part in (platform.node(), boot, numbers) if part)


def this_process() -> ProcessName:
    """Return the name of the process that asks."""
    pid = os.getpid()
    return ProcessName(this_host(), pid, started(pid) or "")


def started(pid: int) -> str | None:
    """Return when a process began, in the system's own words; None: there is no such process."""
    if PROC.joinpath("self/stat").exists():
        fields = _read(PROC / str(pid) / "stat").rpartition(")")[2].split()
        # A killed child that its parent has not collected still has an entry, in state Z.
        return None if not fields or fields[0] in "ZX" else fields[19]
    answer = subprocess.run(
        ["ps", "-p", str(pid), "-o", "lstart="], capture_output=True, text=True, check=False
    )
    return answer.stdout.strip() or None


def _read(path: Path) -> str:
    try:
        return path.read_text("utf-8").strip()
    except OSError:
        return ""


@cache
def code_version() -> str:
    """Return the installed version of this program."""
    try:
        return metadata.version("viewcast")
    except metadata.PackageNotFoundError:
        return "unknown"


@cache
def git_state() -> tuple[str | None, bool | None]:
    """Return the commit this checkout is at and whether it was changed; None outside of one."""
    root = Path(__file__).resolve().parent.parent
    if not (root / ".git").exists():
        return None, None
    sha = _git(root, "rev-parse", "HEAD")
    changes = _git(root, "status", "--porcelain", "--untracked-files=no")
    return sha or None, None if changes is None else bool(changes)


def _git(root: Path, *arguments: str) -> str | None:
    try:
        answer = subprocess.run(
            ["git", *arguments], cwd=root, capture_output=True, text=True, check=False, timeout=10
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return answer.stdout.strip() if answer.returncode == 0 else None


@cache
def environment() -> dict[str, str]:
    """Return the versions that numbers may depend on, without importing anything heavy."""
    versions = {"python": platform.python_version(), "platform": platform.platform()}
    for library in LIBRARIES:
        try:
            versions[library] = metadata.version(library)
        except metadata.PackageNotFoundError:
            continue
    return versions
