"""The video files that arguments name: files, folders of them, and patterns."""

import glob
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from catalog.errors import name_text
from catalog.files import is_video_name
from features.errors import MissingInput
from model.forecast.card import Refused

N_NAMED = 3


@dataclass(frozen=True)
class Given:
    """Files in the order of the arguments that name them, each once.

    In place of an argument that names no video stands why. left_aside: what lies in a folder and
    is no video by its name, or is a folder that was not looked into.
    """

    files: tuple[Path | Refused, ...]
    left_aside: tuple[str, ...]


def find_files(arguments: Sequence[str], *, is_recursive: bool = False) -> Given:
    """Find what each argument names: a file, the videos of a folder, or what a pattern fits.

    A folder means the videos directly in it, by their names, in the order of these; is_recursive:
    those below it too, links to folders followed, each folder once. A file that is named itself is
    taken whatever its name. A pattern stands for what it fits, as if that had been typed.
    """
    search = _Search(is_recursive=is_recursive)
    for argument in arguments:
        # A file may be called "clip [1].mp4": what is there is no pattern.
        if not argument:
            search.refuse(Path(), "an argument is empty: expected a file, a folder or a pattern")
        elif not glob.has_magic(argument) or os.path.lexists(argument):
            search.take(Path(argument))
        else:
            search.fit(argument)
    return Given((*search.files.values(),), (*search.left_aside,))


class _Search:
    def __init__(self, *, is_recursive: bool) -> None:
        self.is_recursive = is_recursive
        self.files: dict[Path, Path | Refused] = {}
        self.left_aside: dict[str, None] = {}

    def fit(self, pattern: str) -> None:
        # As a shell reads it, which leaves out hidden files; Path.glob does not.
        fitting = sorted(glob.glob(pattern, recursive=True))  # noqa: PTH207
        if not fitting:
            self.refuse(Path(pattern), "nothing fits this pattern")
        for name in fitting:
            self.take(Path(name))

    def take(self, path: Path) -> None:
        if not _is_folder(path):
            self.files.setdefault(path.absolute(), path)
            return
        others: list[str] = []
        n_videos = 0
        for found in self._below(path, set()):
            if _is_folder(found):
                others.append(f"{name_text(found)}/")
            elif is_video_name(found):
                n_videos += 1
                self.files.setdefault(found.absolute(), found)
            else:
                others.append(name_text(found))
        self.left_aside |= dict.fromkeys(others)
        if not n_videos and path.absolute() not in self.files:
            self.refuse(path, _nothing_in(others))

    def refuse(self, path: Path, why: str) -> None:
        name = name_text(path) if path.parts else "''"
        self.files.setdefault(path.absolute(), Refused(name, MissingInput.code, f"{name}: {why}"))

    def _below(self, folder: Path, seen: set[tuple[int, int]]) -> Iterator[Path]:
        try:
            of_folder = folder.stat()
            entries = sorted(folder.iterdir())
        except OSError as error:
            self.refuse(folder, f"the folder cannot be read: {error.strerror}")
            return
        seen.add((of_folder.st_dev, of_folder.st_ino))
        folders = [entry for entry in entries if _is_folder(entry)]
        yield from (entry for entry in entries if not _is_folder(entry))
        if not self.is_recursive:
            yield from folders
            return
        for inner in folders:
            of_inner = inner.stat()
            if (of_inner.st_dev, of_inner.st_ino) not in seen:  # a link may lead back up
                yield from self._below(inner, seen)


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:  # a name that is too long, a way that may not be gone: told where it is read
        return False


def _nothing_in(others: Sequence[str]) -> str:
    said = "no video is in this folder, by the names: expected the like of .mp4, .mov or .webm"
    files = [Path(name).name for name in others if not name.endswith("/")]
    if files:
        more = ", …" if len(files) > N_NAMED else ""
        said += f"; other files: {len(files):,} ({', '.join(files[:N_NAMED])}{more})"
    n_folders = len(others) - len(files)
    return f"{said}; folders: {n_folders:,}, --recursive looks into them" if n_folders else said
