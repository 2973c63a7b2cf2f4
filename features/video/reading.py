"""Decode the few frames of a video that are wanted, bit-identical to decoding all of them.

A first pass reads only packet headers and lists the frames in display order. A second pass feeds
the decoder nothing but the packets that the wanted frames depend on: from the keyframe before each
one up to its own, with non-reference frames left out. Where that does not find every wanted frame
(damaged files, odd containers) all frames are decoded in order instead, once to count them and
once to keep some, so that memory never grows with the video.

Several requests of one file share these passes, and each gets what it would get alone.
"""

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from features.errors import FeatureError, MissingInput, TooShort, Undecodable
from features.settings import SamplingConfig
from features.video.demux import Damage, Index, decode_all, decode_some, decoders_reason, read_index
from features.video.picture import Picture, Shown
from features.video.sampling import Choice, Timeline, choose_frames

log = logging.getLogger(__name__)


#: Sizes a picture: (3, H, W) uint8 RGB, H and W the same for all pictures.
Fit = Callable[[Picture], NDArray[np.uint8]]


@dataclass(frozen=True)
class PictureRequest:
    """Which frames of a file are wanted, and how each is sized."""

    sampling: SamplingConfig
    fit: Fit


@dataclass(frozen=True)
class Clip:
    """Sampled frames and what is known of the file they come from.

    frames: (3, D, H, W) uint8 RGB. indices: the number of each in display order; frames averaged
    over a window are named by their middle. times_s: when each appears. n_frames_total counts the
    frames the file shows; duration_s is how long they last; fps is 30 where the file names no rate.
    truncated: the file ends well before its header says. fraction_read: how much of the promised
    time, and of the listed frames where all had to be decoded, could be read. capped: max_frames
    left out later frames. n_errors counts damaged packets and frames that were concealed. shown:
    how the first of them is shown, as they lie here.
    """

    frames: NDArray[np.uint8]
    indices: tuple[int, ...]
    times_s: tuple[float, ...]
    n_frames_total: int
    fps: float
    duration_s: float
    truncated: bool
    fraction_read: float
    capped: bool
    n_errors: int
    shown: Shown


def read_frames(path: str | Path, request: PictureRequest) -> Clip:
    """Decode the frames of one request.

    Raises MissingInput, NoVideoStream, Undecodable, TooShort (nothing is left after trimming).
    """
    (found,) = read_pictures(path, [request])
    if isinstance(found, FeatureError):
        raise found
    return found


def read_pictures(
    path: str | Path, requests: Sequence[PictureRequest]
) -> list[Clip | FeatureError]:
    """Decode the frames of all requests in one pass, each as if it were the only one.

    What read_frames raises takes the place of the request that it concerns.
    """
    # An absolute name behind an explicit protocol: no file name can be taken for a URL.
    url = f"file:{Path(path).resolve()}"
    try:
        with _explained(path, url):
            index = read_index(url)
    except FeatureError as error:
        return [error for _ in requests]
    found: dict[int, Clip | FeatureError] = {}
    for read in (_read_some, _read_all):
        left = {n: request for n, request in enumerate(requests) if n not in found}
        if left:
            found |= _attempt(partial(read, url, index), partial(_explained, path, url), left)
    return [found[n] for n in range(len(requests))]


_Requests = Mapping[int, PictureRequest]
_Found = dict[int, Clip | FeatureError]


def _attempt(
    read: Callable[[_Requests], _Found],
    explained: Callable[[], AbstractContextManager[None]],
    requests: _Requests,
) -> _Found:
    """Read for all together, and where that gives some nothing, for each of those alone.

    What is wrong on the way to one's frames may be no business of another's.
    """
    try:
        with explained():
            found = read(requests)
    except FeatureError as error:
        found = dict.fromkeys(requests, error) if len(requests) == 1 else {}
    if len(requests) > 1:
        for n in requests.keys() - found:
            found |= _attempt(read, explained, {n: requests[n]})
    return found


@contextmanager
def _explained(path: str | Path, url: str) -> Iterator[None]:
    """Raise the decoder's errors as this package's."""
    try:
        yield
    except FileNotFoundError as error:
        raise MissingInput(f"no file {path}") from error
    except (av.error.FFmpegError, UnicodeDecodeError) as error:
        raise Undecodable(f"{path} cannot be decoded: {decoders_reason(url) or error}") from error


class _Album:
    """Gathers pictures by frame number, and averages those of a window as they come."""

    def __init__(self, choice: Choice, fit: Fit) -> None:
        self.choice = choice
        self.fit = fit
        self.rows: dict[int, list[int]] = {}
        for row, window in enumerate(choice.windows):
            for number in window:
                self.rows.setdefault(number, []).append(row)
        self.sums: list[NDArray[np.uint8] | NDArray[np.uint32] | None] = [None] * len(
            choice.windows
        )
        self.missing = set(self.rows)
        self.first = min(self.rows)
        self.shown: Shown | None = None
        self.n_corrupt = 0

    def add(self, number: int, picture: Picture) -> None:
        if number not in self.missing:
            return
        if number == self.first:
            self.shown = picture.shown
        fitted = self.fit(picture)
        self.n_corrupt += picture.frame.is_corrupt
        self.missing.discard(number)
        for row in self.rows[number]:
            if len(self.choice.windows[row]) == 1:
                self.sums[row] = fitted
            elif (total := self.sums[row]) is None:
                self.sums[row] = fitted.astype(np.uint32)
            else:
                total += fitted

    def frames(self) -> NDArray[np.uint8]:
        """Stack the pictures; a window's mean is rounded once, halves up."""
        pictures = [
            ((total + len(window) // 2) // len(window)).astype(np.uint8)
            for total, window in zip(self.sums, self.choice.windows, strict=True)
            if total is not None
        ]
        return np.ascontiguousarray(np.stack(pictures, axis=1))


def _read_some(url: str, index: Index, requests: _Requests) -> _Found:
    """Decode only what is needed; nothing where that does not give every wanted frame, whole."""
    if not index.is_exact:
        return {}
    albums, found = _albums(index.timeline, requests)
    wanted = sorted({number for album in albums.values() for number in album.rows})
    number_of = dict(zip(index.pts[index.shown[wanted]].tolist(), wanted, strict=True))
    damage, latest = Damage(), -1
    runs = index.packets_needed(wanted)
    for frame in decode_some(url, runs, frozenset(number_of), damage):
        number = -1 if frame.pts is None else number_of[frame.pts]
        if number <= latest:  # the decoder shows them in another order: their times are wrong
            return found
        latest = number
        _add(albums, number, Picture(frame, index.pixel_aspect))
    # How a damaged frame is concealed depends on the frames before it, all of them.
    if damage.packets or any(album.missing or album.n_corrupt for album in albums.values()):
        return found
    return found | _clips(albums, index, index.timeline, damage)


def _read_all(url: str, index: Index, requests: _Requests) -> _Found:
    """Decode every frame, twice, and number what comes out."""
    log.debug("%s: not every frame can be reached directly, decoding all", url)
    timeline = _timeline((frame.pts for frame in decode_all(url, Damage())), index)
    if not len(timeline.shown_s):
        reason = decoders_reason(url) or "the decoder does not say why"
        raise Undecodable(
            f"{url.removeprefix('file:')} holds no frame that can be decoded: {reason}"
        )
    albums, found = _albums(timeline, requests)
    damage = Damage()
    for number, frame in enumerate(decode_all(url, damage) if albums else ()):
        _add(albums, number, Picture(frame, index.pixel_aspect))
    return found | _clips(albums, index, timeline, damage)


def _albums(timeline: Timeline, requests: _Requests) -> tuple[dict[int, _Album], _Found]:
    """Choose frames for each request; who is left none by its trimming gets TooShort."""
    albums: dict[int, _Album] = {}
    found: _Found = {}
    for n, request in requests.items():
        try:
            albums[n] = _Album(choose_frames(timeline, request.sampling), request.fit)
        except TooShort as error:
            found[n] = error
    return albums, found


def _add(albums: Mapping[int, _Album], number: int, picture: Picture) -> None:
    for album in albums.values():
        album.add(number, picture)


def _clips(
    albums: Mapping[int, _Album], index: Index, timeline: Timeline, damage: Damage
) -> _Found:
    n_total = len(timeline.shown_s)
    # Where all was decoded, frames that are listed and did not come out count as not read.
    came_out = min(n_total / len(index.shown), 1.0) if len(index.shown) else 1.0
    return {
        n: Clip(
            frames=album.frames(),
            indices=album.choice.indices,
            times_s=tuple(round(float(s), 3) for s in timeline.shown_s[[*album.choice.indices]]),
            n_frames_total=n_total,
            fps=index.fps,
            duration_s=timeline.end_s,
            truncated=index.fraction_read < 1,
            fraction_read=index.fraction_read * came_out,
            capped=album.choice.capped,
            n_errors=damage.packets + album.n_corrupt,
            shown=album.shown,
        )
        for n, album in albums.items()
        if album.shown is not None
    }


def _timeline(times: Iterable[int | None], index: Index) -> Timeline:
    """Say when decoded frames appear: by their own times, or by the rate where one has none."""
    pts = np.array([np.nan if time is None else time for time in times], np.float64)
    if not len(pts) or np.isnan(pts).any():
        return Timeline(np.arange(len(pts)) / index.fps, len(pts) / index.fps)
    # Behind damage a few frames may claim a time that is still to come; none shows before the next.
    shown_s = (np.minimum.accumulate(pts[::-1])[::-1] - pts.min()) * index.time_base_s
    return Timeline(shown_s, float(shown_s[-1]) + 1 / index.fps)
