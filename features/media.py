"""One media file, opened once for all that look at it: its pictures and its sound."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol, TypeVar, runtime_checkable

from features.errors import FeatureError, MissingInput
from features.extractor import Extracted, Extractor, Source
from features.sound.waveform import Waveform, read_waveform
from features.video.reading import Clip, PictureRequest, read_pictures


@dataclass(frozen=True)
class SoundRequest:
    """What of a file's sound an extractor hears: at most max_s of it.

    keep_wav: a folder that keeps each video's sound. loudness: how loud it is over time, too.
    """

    max_s: float
    keep_wav: Path | None = None
    loudness: bool = False


@runtime_checkable
class FileExtractor(Extractor, Protocol):
    """An extractor of media files. It says what it will ask of each one, and asks `media_of`."""

    @property
    def pictures(self) -> PictureRequest | tuple[PictureRequest, ...] | None:
        """The frames that it looks at, in one or several sizes; None where it looks at none."""

    @property
    def sound(self) -> SoundRequest | None:
        """The sound that it hears; None where it hears none."""


class Media:
    """A media file. What several extractors ask for is decoded in one pass, when first asked for.

    A FeatureError that reading raised is raised to each that asks.
    """

    def __init__(self, path: Path, name: str, extractors: Sequence[FileExtractor]) -> None:
        """name: the video's id, by which its sound is kept."""
        self.path = path
        self.pictures_s = 0.0  # spent on decoding them
        self._asked = [request for extractor in extractors for request in _asked(extractor)]
        self._clips: dict[PictureRequest, Clip | FeatureError] = {}
        self._waveforms: dict[float, Waveform | FeatureError] = {}
        sounds = [extractor.sound for extractor in extractors if extractor.sound is not None]
        folders = [sound.keep_wav for sound in sounds if sound.keep_wav is not None]
        # An id is digits; what else somebody calls a video is not trusted with a path.
        self._loud = {sound.max_s for sound in sounds if sound.loudness}
        self._keep = folders[0] / f"{name}.wav" if folders and name.isalnum() else None

    def clip(self, request: PictureRequest) -> Clip:
        """Give the pictures of one of the requests that the file was opened for."""
        if request not in self._clips:
            start = time.perf_counter()
            clips = read_pictures(self.path, self._asked)
            self._clips = dict(zip(self._asked, clips, strict=True))
            self.pictures_s += time.perf_counter() - start
        return _given(self._clips[request])

    def waveform(self, max_s: float) -> Waveform:
        """Give at most max_s of the sound, its loudness too where somebody asked for that."""
        if max_s not in self._waveforms:
            loudness = max_s in self._loud
            try:
                self._waveforms[max_s] = read_waveform(
                    self.path, max_s=max_s, keep=self._keep, loudness=loudness
                )
            except FeatureError as error:
                self._waveforms[max_s] = error
        return _given(self._waveforms[max_s])

    def forget_pictures(self) -> None:
        """Free the pictures' memory; whoever asks again has them decoded anew."""
        self._clips = {}


def _asked(extractor: FileExtractor) -> tuple[PictureRequest, ...]:
    pictures = extractor.pictures
    return (pictures,) if isinstance(pictures, PictureRequest) else pictures or ()


def media_of(source: Source, extractor: FileExtractor) -> Media:
    """The media file of a source, opened for this extractor where it is not yet open for several.

    Raises MissingInput where the source has none.
    """
    if source.media is not None:
        return source.media
    if source.path is None:
        raise MissingInput(f"video {source.tiktok_id} has no media file")
    return Media(Path(source.path), source.tiktok_id, [extractor])


Read = TypeVar("Read", Clip, Waveform)


def _given(found: Read | FeatureError) -> Read:
    if isinstance(found, FeatureError):
        raise found
    return found


@dataclass(frozen=True)
class Made:
    """What became of one kind of one source. seconds: its share of the time."""

    result: Extracted | FeatureError
    seconds: float


def extract_kinds(
    extractors: Mapping[str, Extractor], sources: Sequence[Source]
) -> list[dict[str, Made]]:
    """Extract the kinds that are wanted of each source, by kind; each file is opened once.

    A row's numbers are those that each extractor gives alone. What looks at pictures goes file by
    file, so that the pictures of one file are held at a time; what only hears takes all at once.
    """
    opened = [_opened(source, extractors) for source in sources]
    made: list[dict[str, Made]] = [{} for _ in sources]
    sees = [kind for kind, extractor in extractors.items() if _sees(extractor)]
    for source, results in zip(opened, made, strict=True):
        for kind in filter(source.wants, sees):
            start = time.perf_counter()
            (result,) = extractors[kind]([source])
            results[kind] = Made(result, time.perf_counter() - start)
        if source.media is not None:
            _share(results, source.media.pictures_s)
            source.media.forget_pictures()
    for kind in extractors.keys() - sees:
        wanted = [place for place, source in enumerate(opened) if source.wants(kind)]
        start = time.perf_counter()
        found = extractors[kind]([opened[place] for place in wanted])
        seconds = (time.perf_counter() - start) / max(1, len(wanted))
        for place, result in zip(wanted, found, strict=True):
            made[place][kind] = Made(result, seconds)
    return made


def _sees(extractor: Extractor) -> bool:
    return getattr(extractor, "pictures", None) is not None


def _opened(source: Source, extractors: Mapping[str, Extractor]) -> Source:
    """The source with its file opened for all of its kinds, where it is a file."""
    if source.path is None or source.media is not None:
        return source
    wanted = [extractor for kind, extractor in extractors.items() if source.wants(kind)]
    asking = [extractor for extractor in wanted if isinstance(extractor, FileExtractor)]
    return replace(source, media=Media(Path(source.path), source.tiktok_id, asking))


def _share(results: dict[str, Made], seconds: float) -> None:
    """Part the decoding, which the first kind waited for, among all of them."""
    for place, (kind, made) in enumerate(results.items()):
        own = made.seconds - (seconds if place == 0 else 0.0)
        results[kind] = replace(made, seconds=max(own, 0.0) + seconds / len(results))
