"""Read yt-dlp's descriptions: `.info.json` files beside the media files that they describe."""

import hashlib
import os
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from scraper.errors import BadId, RowRefused, shown
from scraper.importers.fields import TIKTOK, read_platform
from scraper.importers.json_rows import MAX_ROW_BYTES, parse_row
from scraper.importers.video import (
    FieldMap,
    ImportedFile,
    ImportedVideo,
    ImportOptions,
    Refusal,
    RejectedLine,
    find,
    make_video,
    rejected,
)
from scraper.items import Json, check_id, listed

INFO = ".info.json"
MEDIA = ".mp4"
# yt-dlp's own default name: "a title [7571863205253778710].mp4".
IN_BRACKETS = re.compile(r"\[([0-9]{15,20})\]$")
# For TikTok `uploader` is the handle and `channel` a nickname, and its counts are rounded.
INFO_OF_TIKTOK = FieldMap(
    id=("id",),
    url=("webpage_url",),
    views=("view_count",),
    handle=("uploader",),
    caption=("description", "title"),
    hashtags=lambda row: listed(row, "tags"),
    posted_at=("timestamp",),
    observed_at=("epoch",),
    observed_as="epoch",
    duration=("duration",),
    width=("width",),
    height=("height",),
    refusals=(
        Refusal(
            "live",
            "a live broadcast, not a video",
            lambda row: (
                row.get("is_live") is True or row.get("live_status") in ("is_live", "is_upcoming")
            ),
        ),
        Refusal(
            "private",
            "availability is private",
            lambda row: row.get("availability") == "private",
        ),
        Refusal(
            "photo",
            "without a picture track, as a photo post",
            lambda row: row.get("vcodec") == "none",
        ),
    ),
)
# Other sites' counts are not known to be rounded.
INFO_ELSEWHERE = replace(INFO_OF_TIKTOK, handle=("uploader_id", "channel_id"), exact=True)


def read_info(
    row: Json, line: int, source: ImportedFile, media: Path | None = None
) -> ImportedVideo:
    """Read an info document. With a media file it needs no count: it can be scored."""
    if row.get("_type") not in (None, "video"):
        raise RowRefused("playlist", f"a {shown(row['_type'])}'s own description, not a video's")
    extractor = find(row, ("extractor_key", "extractor"))
    stated = extractor.partition(":")[0] if isinstance(extractor, str) else extractor
    platform = read_platform(stated, source.options.platform)
    form = INFO_OF_TIKTOK if platform == TIKTOK else INFO_ELSEWHERE
    return form.read(row, line, source, platform=platform, media=media)


def read_folder(folder: Path, options: ImportOptions) -> Iterator[ImportedVideo | RejectedLine]:
    """Read every `.info.json` in a folder and below, and every ID.mp4 that has none.

    No link that leads out of the folder is followed, and no name that a file gives is used.
    """
    root = folder.resolve()
    line = 0
    unread: list[OSError] = []
    for here, folders, names in os.walk(root, onerror=unread.append):
        folders.sort()
        described = {name.removesuffix(INFO) for name in names if name.endswith(INFO)}
        for name in sorted(names):
            path = Path(here) / name
            stem = name.removesuffix(INFO)
            if stem != name:
                line += 1
                yield _read_file(path, root, line, options, _sibling(path, stem, root))
            elif name.endswith(MEDIA) and name.removesuffix(MEDIA) not in described:
                line += 1
                yield _bare_media(path, root, line, options)
    for error in unread:
        name = Path(error.filename).relative_to(root).as_posix()
        refusal = RowRefused("broken_file", f"{name}/ cannot be read: {error.strerror}")
        yield rejected(line + 1, os.fsencode(name), refusal, name)


def is_ytdlp_folder(folder: Path) -> bool:
    """Say whether there is anything for `read_folder` in a folder."""
    return any(
        name.endswith((INFO, MEDIA)) for _, _, names in os.walk(folder) for name in sorted(names)
    )


def inside(path: Path, root: Path) -> Path | None:
    """Return a plain file's true path, None if it is no file or lies elsewhere."""
    try:
        true_path = path.resolve(strict=True)
    except (OSError, RuntimeError):
        return None
    return true_path if true_path.is_relative_to(root) and true_path.is_file() else None


def _read_file(
    path: Path, root: Path, line: int, options: ImportOptions, media: Path | None
) -> ImportedVideo | RejectedLine:
    name = path.relative_to(root).as_posix()
    true_path = inside(path, root)
    raw = b""
    try:
        if true_path is None:
            raise RowRefused("outside", f"{shown(name)} leads out of the folder, or is no file")
        if true_path.stat().st_size > MAX_ROW_BYTES:
            raise RowRefused("too_large", f"{shown(name)} has more than {MAX_ROW_BYTES:,} bytes")
        raw = true_path.read_bytes()
        row = options.report.watched(parse_row(raw))
        return read_info(row, line, ImportedFile.of(true_path, options), media)
    except RowRefused as refusal:
        named = RowRefused(refusal.reason, f"{name}: {refusal.detail}", refusal.tiktok_id)
        return rejected(line, raw or os.fsencode(name), named, name)
    except OSError as error:
        unread = RowRefused("broken_file", f"{name}: {error.strerror}")
        return rejected(line, os.fsencode(name), unread, name)


def _bare_media(
    path: Path, root: Path, line: int, options: ImportOptions
) -> ImportedVideo | RejectedLine:
    name = path.relative_to(root).as_posix()
    true_path = inside(path, root)
    stem = path.name.removesuffix(MEDIA)
    bracketed = IN_BRACKETS.search(stem)
    try:
        if true_path is None:
            raise RowRefused("outside", f"{shown(name)} leads out of the folder, or is no file")
        platform = read_platform(None, options.platform)
        if platform != TIKTOK:
            raise RowRefused("no_info", f"{name} has no {INFO} beside it")
        tiktok_id = check_id(bracketed[1] if bracketed else stem)
        source = ImportedFile.of(true_path, options)
        return make_video(source, line, tiktok_id=tiktok_id, count=("", None), media=true_path)
    except BadId as error:
        refusal = RowRefused("no_info", f"{name} has no {INFO} beside it, and {error}")
    except RowRefused as error:
        refusal = error
    return rejected(line, hashlib.sha256(os.fsencode(name)).digest(), refusal, name)


def _sibling(info: Path, stem: str, root: Path) -> Path | None:
    return inside(info.with_name(f"{stem}{MEDIA}"), root)
