"""Read a folder: descriptions and exports in it, and the media files that belong to them."""

import hashlib
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

from catalog.errors import name_text
from catalog.facts import LOCAL_PLATFORM
from catalog.files import is_video_name, sha256_of
from scraper.errors import BadId, BadOption, ImportRefused, RowRefused
from scraper.importers.fields import OTHER_ID, TIKTOK, read_platform
from scraper.importers.json_rows import MAX_ROW_BYTES, parse_row
from scraper.importers.video import (
    ImportedFile,
    ImportedVideo,
    ImportOptions,
    RejectedLine,
    make_video,
    rejected,
)
from scraper.importers.ytdlp import read_info, with_handle
from scraper.items import check_id

Row = ImportedVideo | RejectedLine

INFO = ".info.json"
DATA_SUFFIXES = frozenset(
    [
        ".json",
        ".jsonl",
        ".ndjson",
        ".har",
        ".html",
        ".htm",
        ".mhtml",
        ".mht",
        ".csv",
        ".tsv",
        ".parquet",
        ".xlsx",
    ]
)
PACKED_SUFFIXES = frozenset({".gz", ".bz2", ".xz", ".zst"})
# yt-dlp's own default name: "a title [7571863205253778710].mp4"; its predecessor's ends in "-ID".
IN_BRACKETS = re.compile(r"\[([A-Za-z0-9_-]{5,64})\]$")
N_YOUTUBE_CHARS = 11
# Of a content's checksum, in an id: half of it, which no two contents share by chance.
N_HASH_CHARS = 32
NO_FILE_INSIDE = "leads out of the folder, or is no file"
BEHIND_DASH = re.compile(r"-([A-Za-z0-9_-]{11})$")
LONG_NUMBER = re.compile(r"(?<![0-9])[0-9]{15,20}(?![0-9])")
# A picture or sound track by itself, which yt-dlp has not joined yet.
HALF = re.compile(r"\.(?:f[0-9]+(?:-[0-9a-z]+)?|temp)$")


class MediaFolder:
    """The media files in a folder and below, by the ids that their names hold."""

    def __init__(self, folder: Path) -> None:
        """Look at the names. No link that leads out of the folder is followed."""
        if not folder.is_dir():
            raise BadOption(f"there is no folder '{name_text(folder)}' of media files")
        self.root = folder.resolve()
        self._by_id: dict[str, list[tuple[int, Path]]] = {}
        self._by_stem: dict[Path, list[Path]] = {}
        self._all: list[Path] = []
        self._used: set[Path] = set()
        for path in _files(self.root, []):
            if not is_video_name(path):
                continue
            self._all.append(path)
            if inside(path, self.root) is None or HALF.search(path.stem):
                continue
            self._by_stem.setdefault(path.with_suffix(""), []).append(path)
            for rank, found in enumerate(ids_in_name(path, self.root)):
                self._by_id.setdefault(found, []).append((rank, path))

    def of_id(self, video_id: str) -> Path | None:
        """Return the file whose name tells plainest that it is this video's."""
        found = self._by_id.get(video_id)
        return self._take(min(found)[1]) if found else None

    def beside(self, info: Path, suffix: object) -> Path | None:
        """Return the file that a description lies beside, the one of this suffix before others."""
        found = self._by_stem.get(info.with_name(info.name.removesuffix(INFO)), [])
        best = sorted(found, key=lambda path: path.suffix.lower() != f".{suffix}")
        return self._take(best[0]) if best else None

    def left(self) -> Iterator[tuple[Path, RowRefused | None]]:
        """Give each file that no video took, and why; None where no row has its id."""
        for path in self._all:
            if path in self._used:
                continue
            name = path.relative_to(self.root).as_posix()
            if inside(path, self.root) is None:
                yield path, RowRefused("outside", f"{name_text(name)} {NO_FILE_INSIDE}")
            elif HALF.search(path.stem):
                why = "is one track of a download that was not finished"
                yield path, RowRefused("media_half", f"{name} {why}")
            elif other := self._rival(path):
                why = f"is left aside: {other.relative_to(self.root).as_posix()} is that video's"
                yield path, RowRefused("media_double", f"{name} {why}")
            else:
                yield path, None

    def _take(self, path: Path) -> Path:
        self._used.add(path)
        return path

    def _rival(self, path: Path) -> Path | None:
        beside = self._by_stem.get(path.with_suffix(""), [])
        named = [self._by_id.get(found, []) for found in ids_in_name(path, self.root)]
        others = [*beside, *(other for files in named for _, other in files)]
        return next((other for other in others if other in self._used), None)


def ids_in_name(path: Path, root: Path) -> list[str]:
    """Return what in a media file's name may be its video's id, the plainest first."""
    stem = path.stem
    found = [match[1] for match in (IN_BRACKETS.search(stem),) if match]
    if OTHER_ID.fullmatch(stem):
        found.append(stem)
    found += LONG_NUMBER.findall(stem)
    found += [match[1] for match in (BEHIND_DASH.search(stem),) if match]
    folder = path.parent
    if folder != root and LONG_NUMBER.fullmatch(folder.name):
        found.append(folder.name)
    return list(dict.fromkeys(found))


def has_info(folder: Path) -> bool:
    """Say whether there is a description of yt-dlp's in a folder or below."""
    return any(path.name.endswith(INFO) for path in _files(folder, []))


def has_media(folder: Path) -> bool:
    """Say whether there is a media file in a folder or below."""
    return any(map(is_video_name, _files(folder, [])))


def data_files(folder: Path) -> Iterator[Path]:
    """Give the exports in a folder and below, by their names; descriptions are none."""
    for path in _files(folder, []):
        suffixes = [suffix.lower() for suffix in path.suffixes]
        if suffixes and suffixes[-1] in PACKED_SUFFIXES:
            suffixes.pop()
        if suffixes and suffixes[-1] in DATA_SUFFIXES and not path.name.endswith(INFO):
            yield path


def inside(path: Path, root: Path) -> Path | None:
    """Return a plain file's true path, None if it is no file or lies elsewhere."""
    try:
        true_path = path.resolve(strict=True)
    except (OSError, RuntimeError):
        return None
    return true_path if true_path.is_relative_to(root) and true_path.is_file() else None


def read_folder(
    folder: Path, options: ImportOptions, read_file: Callable[[Path], Iterator[Row]]
) -> Iterator[Row]:
    """Read every description and export in a folder and below, and every media file by itself.

    No link that leads out of the folder is followed, and no name that a file gives is used.
    read_file: how an export is read.
    """
    root = folder.resolve()
    media, bare = MediaFolder(root), _BareMedia(root, options)
    unread: list[OSError] = []
    line = 0
    for path in _files(root, unread):
        if path.name.endswith(INFO):
            line += 1
            yield _read_info(path, root, line, options, media)
    for path in data_files(root):
        yield from _read_export(path, root, read_file, media)
    for path, why in media.left():
        line += 1
        if why is None:
            yield bare.read(path, line)
        else:
            yield media_left(path, root, line, why)
    for error in unread:
        name = Path(error.filename).relative_to(root).as_posix()
        refusal = RowRefused("broken_file", f"{name}/ cannot be read: {error.strerror}")
        yield rejected(line + 1, os.fsencode(name), refusal, name)


def with_media(rows: Iterator[Row], media: MediaFolder) -> Iterator[Row]:
    """Give each video its file from a folder, and behind them the files that are no row's."""
    root, line = media.root, 0
    for row in rows:
        line = max(line, row.line)
        if isinstance(row, ImportedVideo) and row.media is None:
            found = media.of_id(row.sighting.tiktok_id)
            yield row if found is None else replace(row, media=found)
        else:
            yield row
    for number, (path, why) in enumerate(media.left(), line + 1):
        name = path.relative_to(root).as_posix()
        unused = RowRefused("media_unused", f"no row has a video of the id in {name_text(name)}")
        yield media_left(path, root, number, why or unused)


def media_left(path: Path, root: Path, line: int, why: RowRefused) -> RejectedLine:
    """Note a media file that is left aside."""
    name = path.relative_to(root).as_posix()
    row = rejected(line, hashlib.sha256(os.fsencode(name)).digest(), why, name)
    return replace(row, is_media=True)


def _files(root: Path, unread: list[OSError]) -> Iterator[Path]:
    for here, folders, names in os.walk(root, onerror=unread.append):
        folders.sort()
        for name in sorted(names):
            yield Path(here) / name


def _read_info(
    path: Path, root: Path, line: int, options: ImportOptions, media: MediaFolder
) -> Row:
    name = path.relative_to(root).as_posix()
    true_path = inside(path, root)
    raw = b""
    try:
        if true_path is None:
            raise RowRefused("outside", f"{name_text(name)} {NO_FILE_INSIDE}")
        if true_path.stat().st_size > MAX_ROW_BYTES:
            words = f"{name_text(name)} has more than {MAX_ROW_BYTES:,} bytes"
            raise RowRefused("too_large", words)
        raw = true_path.read_bytes()
        row = options.report.watched(with_handle(parse_row(raw)))
        found = media.beside(path, row.get("ext")) or media.of_id(str(row.get("id")))
        return read_info(row, line, ImportedFile.of(true_path, options), found)
    except RowRefused as refusal:
        named = RowRefused(refusal.reason, f"{name}: {refusal.detail}", refusal.tiktok_id)
        return rejected(line, raw or os.fsencode(name), named, name)
    except OSError as error:
        unread = RowRefused("broken_file", f"{name}: {error.strerror}")
        return rejected(line, os.fsencode(name), unread, name)


def _read_export(
    path: Path, root: Path, read_file: Callable[[Path], Iterator[Row]], media: MediaFolder
) -> Iterator[Row]:
    name = path.relative_to(root).as_posix()
    try:
        if inside(path, root) is None:
            raise RowRefused("outside", f"{name_text(name)} {NO_FILE_INSIDE}")
        for row in read_file(path):
            if isinstance(row, RejectedLine):
                yield row if row.file else replace(row, file=name_text(name))
            else:
                yield replace(row, media=row.media or media.of_id(row.sighting.tiktok_id))
    except RowRefused as refusal:
        yield rejected(1, os.fsencode(name), refusal, name)
    except ImportRefused as refusal:
        why = RowRefused("unknown_file", f"{name} is left aside: {refusal}")
        yield rejected(1, os.fsencode(name), why, name)
    except OSError as error:
        unread = RowRefused("broken_file", f"{name}: {error.strerror}")
        yield rejected(1, os.fsencode(name), unread, name)


class _BareMedia:
    """Makes videos of files that nothing describes; the ids of those before tell doubles."""

    def __init__(self, root: Path, options: ImportOptions) -> None:
        self.root, self.options = root, options
        self._names: dict[tuple[str, str], tuple[str, Path]] = {}

    def read(self, path: Path, line: int) -> Row:
        name = path.relative_to(self.root).as_posix()
        try:
            platform, video_id = self._identify(path, name)
            before = self._names.setdefault((platform, video_id), (name, path))
            if before[1] != path:
                self._refuse_double(platform, video_id, name, path, before)
            is_local = platform == LOCAL_PLATFORM
            # A camera's clock may have set any time.
            source = ImportedFile.now if is_local else partial(ImportedFile.of, path)
            return make_video(
                source(self.options),
                line,
                tiktok_id=video_id,
                platform=platform,
                count=("", None),
                caption=path.stem if is_local and self.options.caption_from_name else None,
                media=path,
            )
        except RowRefused as error:
            row = rejected(line, hashlib.sha256(os.fsencode(name)).digest(), error, name)
            return replace(row, is_media=error.reason == "media_double")
        except OSError as error:
            unread = RowRefused("broken_file", f"{name}: {error.strerror}")
            return rejected(line, os.fsencode(name), unread, name)

    def _identify(self, path: Path, name: str) -> tuple[str, str]:
        """Return whose video it is, and its id: of its name, or made of its content."""
        found = ids_in_name(path, self.root)
        asked = self.options.platform
        platform = read_platform(None, asked)
        if platform == TIKTOK:
            ids = [text for text in found if _is_tiktok_id(text)]
            hint = "its name holds no id of tiktok's; say --platform local to take it as it is"
        else:
            ids = [text for text in found if _is_plain_id(text, platform, path)]
            hint = f"its name holds no id of {platform}'s, such as 'a title [ID]'"
        if ids:
            return platform, ids[0]
        if platform != LOCAL_PLATFORM and (asked is not None or _names_another(path)):
            if asked is None:
                hint = "its name ends as another site's do: say --platform youtube, or local"
            raise RowRefused("no_info", f"{name} has no {INFO} beside it, and {hint}")
        return LOCAL_PLATFORM, sha256_of(path)[:N_HASH_CHARS]

    def _refuse_double(
        self, platform: str, video_id: str, name: str, path: Path, before: tuple[str, Path]
    ) -> None:
        other = before[0]
        if platform == LOCAL_PLATFORM and sha256_of(path) != sha256_of(before[1]):
            why = f"{name} has the id of {other}, and another content: rename one of them"
            raise RowRefused("id_taken", why, video_id)
        why = f"{name} is left aside: {other} is that video's"
        raise RowRefused("media_double", why, video_id)


def _names_another(path: Path) -> bool:
    """Say whether a name ends as yt-dlp lets those of videos of another site end."""
    bracketed = IN_BRACKETS.search(path.stem)
    if bracketed is None or len(bracketed[1]) != N_YOUTUBE_CHARS:
        return False
    # Eleven small letters are a word.
    return not (bracketed[1].isalpha() and bracketed[1].islower())


def _is_plain_id(text: str, platform: str, path: Path) -> bool:
    """Say whether a part of a name is an id, and no word of a title."""
    bracketed = IN_BRACKETS.search(path.stem)
    is_youtube = platform == "youtube" and len(text) == N_YOUTUBE_CHARS
    return text == (bracketed and bracketed[1]) or text.isdecimal() or is_youtube


def _is_tiktok_id(text: str) -> bool:
    try:
        return bool(check_id(text))
    except BadId:
        return False
