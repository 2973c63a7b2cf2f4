"""Files written whole, locks, checksums, process clocks, storable text: what every room may use."""

import hashlib
import os
import platform
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
from filelock import FileLock, Timeout

from catalog.errors import Busy

# Whatever ffmpeg may read; what a file really is, its content tells when it is read.
MEDIA_SUFFIXES = frozenset(
    [
        ".mp4",
        ".m4v",
        ".mov",
        ".3gp",
        ".webm",
        ".mkv",
        ".avi",
        ".flv",
        ".f4v",
        ".ts",
        ".mts",
        ".m2ts",
        ".mpg",
        ".mpeg",
        ".ogv",
        ".wmv",
        ".asf",
    ]
)


def is_video_name(path: Path) -> bool:
    """Say whether a file's name is a video's; a hidden one is some program's own."""
    return path.suffix.lower() in MEDIA_SUFFIXES and not path.name.startswith(".")


@contextmanager
def atomic_file(path: Path, *, replace: bool = True) -> Iterator[Path]:
    """Give a temporary path to write to; on success it becomes `path`, whole and synced.

    A reader sees the old file or the new one. On an error nothing is left behind; after a kill
    only a hidden `.NAME.tmp-PID-…` remains, which nobody reads. The folder is made. Without
    `replace`, a file that has come to be there meanwhile stays, and the new one goes.
    """
    made = [folder for folder in path.parents if not folder.exists()]
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.tmp-{os.getpid()}-{secrets.token_hex(4)}")
    try:
        yield temporary
        put_in_place(temporary, path, replace=replace)
        for folder in made:
            _sync_folder(folder.parent)
    finally:
        temporary.unlink(missing_ok=True)


def put_in_place(new: Path, path: Path, *, replace: bool = True) -> None:
    """Rename a finished file; its bytes are on the disk before its name, its name when it is done.

    Without `replace`, a file that is there stays, and so does the new one under its old name.
    """
    with new.open("rb+") as file:
        os.fsync(file.fileno())
    if replace:
        new.replace(path)
    else:
        with suppress(FileExistsError):
            path.hardlink_to(new)
    _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    # A power cut forgets a name whose folder is not written.
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def locked(path: Path, what: str) -> Iterator[None]:
    """Hold the lock file of that name; our end, by kill -9 too, gives it back. Its folder is made.

    Raises Busy at once while somebody else holds it: `what`, and by whom.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path)
    while not lock.is_locked:
        try:
            lock.acquire(blocking=False)
        except Timeout as error:
            try:
                holder = path.read_text("utf-8") or "another process"
            except FileNotFoundError:
                continue  # the last holder has removed it between our opening and our locking it
            raise Busy(
                f"{what} by {holder}: wait for it, or end it; the same command then goes on"
            ) from error
    try:
        path.write_text(f"process {os.getpid()} on {platform.node()}", "utf-8")
        yield
    finally:
        # While it is held: who has opened it already sees that it is gone, and makes a new one.
        path.unlink(missing_ok=True)
        lock.release()


def started(pid: int) -> int | None:
    """Return when a process began, to the system's clock tick; None: there is no such process.

    With its number it names a process; a number alone is given to another one later.
    """
    try:
        process = psutil.Process(pid)
        # A killed child that its parent has not collected still has an entry.
        if process.status() in (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD):
            return None
        # Linux counts from its boot. As a time of day it would change whenever the clock is set,
        # and a process that lives would be taken for dead.
        since_s = psutil.boot_time() if psutil.LINUX else 0.0
        return round((process.create_time() - since_s) * os.sysconf("SC_CLK_TCK"))
    except psutil.NoSuchProcess:
        return None


def sha256_of(*files: Path) -> str:
    """Return the hexadecimal SHA-256 of a file, or of several as if they were one."""
    digest = hashlib.sha256()
    for file in files:
        with file.open("rb") as content:
            hashlib.file_digest(content, lambda: digest)
    return digest.hexdigest()


def sha256_text(text: str) -> str:
    """Return the hexadecimal SHA-256 of `text` in UTF-8."""
    return hashlib.sha256(text.encode()).hexdigest()


def clean_text(value: object) -> str:
    """Return a text that every database takes: no NUL, no half of a surrogate pair.

    What is no text at all is an empty one.
    """
    if not isinstance(value, str):
        return ""
    if value.isascii() and "\0" not in value:
        return value  # nearly all are, and an import cleans millions
    return value.replace("\0", "").encode("utf-8", "ignore").decode("utf-8")
