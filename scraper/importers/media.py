"""Bring a media file that came with an import to its place, once it is known to be whole."""

import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from catalog.errors import name_text
from catalog.files import MEDIA_SUFFIXES, put_in_place, sha256_of
from scraper.errors import BadMedia, MediaTooLarge, NoSpace
from scraper.files.download import media_path
from scraper.files.media import Probe, check_media, probe_media
from scraper.files.transfer import hold_part
from scraper.importers.fields import TIKTOK
from scraper.settings import FetchConfig

COPY_BYTES = 1024 * 1024


@dataclass(frozen=True)
class BroughtMedia:
    """A verified file in its place; is_new: it was not there before."""

    path: Path
    sha256: str
    n_bytes: int
    probe: dict[str, Any]
    is_new: bool


def imported_media_path(folder: Path, platform: str, tiktok_id: str) -> Path:
    """Give a file's place; other platforms have folders of their own. Raises BadId."""
    if platform == TIKTOK:
        return media_path(folder, tiktok_id)
    # Both have passed patterns without a dot or a slash (see fields.py).
    return folder / platform / tiktok_id[-2:] / f"{tiktok_id}.mp4"


def _place(target: Path, source: Path) -> tuple[Path, bool]:
    """Return where a file goes, with its own suffix, and whether its video has one already."""
    # ID.mp4 is where a download would lie.
    for suffix in (target.suffix, *sorted(MEDIA_SUFFIXES)):
        if target.with_suffix(suffix).is_file():
            return target.with_suffix(suffix), True
    suffix = source.suffix.lower()
    return target.with_suffix(suffix if suffix in MEDIA_SUFFIXES else target.suffix), False


def bring_media(
    source: Path, target: Path, *, duration_s: float | None, limits: FetchConfig
) -> BroughtMedia:
    """Copy a file, check the copy, and only then rename it.

    target: its place if it is an mp4; another keeps its own suffix there. A file that the video
    has already stays, whatever the new one holds. Raises BadMedia, NoSpace,
    MediaTooLarge, and DownloadFailed while somebody else is fetching the same video.
    """
    target, is_there = _place(target, source)
    if is_there:
        return _brought(target, probe_media(target).facts, is_new=False)
    n_bytes = source.stat().st_size
    if n_bytes > limits.max_bytes:
        raise MediaTooLarge(f"{source.name}: {n_bytes:,} bytes, more than {limits.max_bytes:,}")
    target.parent.mkdir(parents=True, exist_ok=True)
    n_free = shutil.disk_usage(target.parent).free
    if n_free - n_bytes < limits.min_free_bytes:
        raise NoSpace(
            f"{n_free:,} bytes are free for a file of {n_bytes:,}; "
            f"{limits.min_free_bytes:,} must stay free"
        )
    with hold_part(target) as part:
        part.discard()
        try:
            with source.open("rb") as old, os.fdopen(part.open(append=False), "wb") as new:
                shutil.copyfileobj(old, new, COPY_BYTES)
            probe = _checked(part.path, source.name, duration_s)
            put_in_place(part.path, target)
        finally:
            part.discard()
    return _brought(target, probe.facts, is_new=True)


def _checked(copy: Path, name: str, duration_s: float | None) -> Probe:
    try:
        return check_media(copy, duration_s=duration_s)
    except BadMedia as error:
        # Under the name that its owner knows.
        raise BadMedia(str(error).replace(copy.name, name_text(name))) from error


def _brought(path: Path, probe: dict[str, Any], *, is_new: bool) -> BroughtMedia:
    return BroughtMedia(path, sha256_of(path), path.stat().st_size, probe, is_new)
