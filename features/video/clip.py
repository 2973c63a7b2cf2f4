"""Decode the few frames of a video that a clip is made of, bit-identical to decoding all of them.

A first pass reads only packet headers and lists the frames in display order. A second pass feeds
the decoder nothing but the packets that the wanted frames depend on: from the keyframe before each
one up to its own, with non-reference frames left out. Where that does not find every wanted frame
(damaged files, odd containers) all frames are decoded in order instead, once to count them and
once to keep some, so that memory never grows with the video.
"""

import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import cast

import av
import numpy as np
from av.video.reformatter import Interpolation, VideoReformatter
from numpy.typing import NDArray

from features.errors import FeatureError, MissingInput, Undecodable
from features.settings import PAPER_HEIGHT_PX, PAPER_WIDTH_PX, ClipConfig, Resize, SamplingConfig
from features.video.demux import Damage, Index, decode_all, decode_some, decoders_reason, read_index
from features.video.sampling import Choice, Timeline, choose_frames

log = logging.getLogger(__name__)


def fit_picture(
    frame: av.VideoFrame, height_px: int, width_px: int, rotation_deg: int, resize: Resize
) -> NDArray[np.uint8]:
    """Turn a frame upright and fit it, ratio kept, into the middle of a black picture.

    rotation_deg: 0, 90, 180 or 270, counter-clockwise.   returns: (3, H, W) uint8 RGB
    """
    sideways = rotation_deg % 180 != 0
    upright = (frame.width, frame.height) if sideways else (frame.height, frame.width)
    box = (height_px, width_px) if resize == "area" else (PAPER_HEIGHT_PX, PAPER_WIDTH_PX)
    fitted = fit_size(*upright, *box)
    if resize == "area":
        # Scaled before it is turned, so that the scaler does all the work on the YUV planes.
        rows, columns = fitted[::-1] if sideways else fitted
        return letterbox(_turn(_rgb(frame, rows, columns), rotation_deg), *box)
    full = _turn(_rgb(frame, frame.height, frame.width), rotation_deg)
    boxed = letterbox(round_to_uint8(bilinear(full, *fitted)), *box)
    return round_to_uint8(bilinear(boxed, height_px, width_px))


def fit_size(height: int, width: int, box_height: int, box_width: int) -> tuple[int, int]:
    """Give the largest size of that ratio inside the box; halves round up, nothing vanishes."""
    scale = min(box_height / height, box_width / width)
    rows, columns = int(height * scale + 0.5), int(width * scale + 0.5)
    return min(max(rows, 1), box_height), min(max(columns, 1), box_width)


def letterbox(image: NDArray[np.uint8], height_px: int, width_px: int) -> NDArray[np.uint8]:
    """Put a (3, h, w) picture in the middle of a black (3, H, W) one."""
    _, rows, columns = image.shape
    if (rows, columns) == (height_px, width_px):
        return image
    boxed = np.zeros((3, height_px, width_px), np.uint8)
    top, left = (height_px - rows) // 2, (width_px - columns) // 2
    boxed[:, top : top + rows, left : left + columns] = image
    return boxed


def bilinear(image: NDArray[np.uint8], height_px: int, width_px: int) -> NDArray[np.float32]:
    """Resize (3, h, w) by plain bilinear interpolation at pixel centres, without antialiasing.

    Written in NumPy so that decoding workers need not load torch.
    """
    rows_low, rows_high, rows_part = _taps(image.shape[1], height_px)
    columns_low, columns_high, columns_part = _taps(image.shape[2], width_px)
    part = rows_part[:, None]
    tall = image[:, rows_low] * (1 - part) + image[:, rows_high] * part
    sized = tall[..., columns_low] * (1 - columns_part) + tall[..., columns_high] * columns_part
    return cast("NDArray[np.float32]", sized)


def round_to_uint8(image: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Round to the nearest level."""
    return np.clip(np.rint(image), 0, 255).astype(np.uint8)


def _taps(size: int, target: int) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.float32]]:
    """Give the two source pixels beside each target pixel's centre and the second one's weight."""
    centre = np.maximum((np.arange(target) + 0.5) * (size / target) - 0.5, 0)
    low = centre.astype(np.intp)
    return low, np.minimum(low + 1, size - 1), (centre - low).astype(np.float32)


def _rgb(frame: av.VideoFrame, height_px: int, width_px: int) -> NDArray[np.uint8]:
    """Convert to (3, h, w) RGB, averaging whole areas where it shrinks."""
    sized = VideoReformatter().reformat(
        frame, width_px, height_px, "rgb24", interpolation=Interpolation.AREA, threads=1
    )
    return cast("NDArray[np.uint8]", sized.to_ndarray().transpose(2, 0, 1))


def _turn(image: NDArray[np.uint8], rotation_deg: int) -> NDArray[np.uint8]:
    return np.rot90(image, k=rotation_deg // 90, axes=(1, 2))


#: Sizes a frame and turns it upright: (frame, rotation_deg) -> (3, H, W), the same for all frames.
Fit = Callable[[av.VideoFrame, int], NDArray[np.uint8]]


@dataclass(frozen=True)
class Clip:
    """Sampled frames and what is known of the file they come from.

    frames: (3, D, H, W) uint8 RGB. indices: the number of each in display order; frames averaged
    over a window are named by their middle. shown_s: when each appears, after the first of the
    file. n_frames_total counts the frames the file shows;
    duration_s is how long they last; fps is 30 where the file names no rate. truncated: the file
    ends well before its header says. fraction_read: how much of the promised time, and of the
    listed frames where all had to be decoded, could be read. capped: max_frames left out later
    frames. n_errors counts damaged packets and frames that were concealed. rotation_deg is
    counter-clockwise, already applied.
    """

    frames: NDArray[np.uint8]
    indices: tuple[int, ...]
    shown_s: tuple[float, ...]
    n_frames_total: int
    fps: float
    duration_s: float
    truncated: bool
    fraction_read: float
    capped: bool
    rotation_deg: int
    n_errors: int


@dataclass(frozen=True)
class PictureRequest:
    """Which frames of a file are wanted, and how each is sized."""

    sampling: SamplingConfig
    fit: Fit


def read_pictures(
    path: str | Path, requests: Sequence[PictureRequest]
) -> list[Clip | FeatureError]:
    """Decode what all requests want of a file; an error takes the place of its request."""
    clips: list[Clip | FeatureError] = []
    for request in requests:
        try:
            clips.append(read_frames(path, request.sampling, request.fit))
        except FeatureError as error:
            clips.append(error)
    return clips


def read_clip(path: str | Path, config: ClipConfig) -> Clip:
    """Decode the frames that the settings name, upright, fitted into H x W on black.

    Raises MissingInput, NoVideoStream, Undecodable, TooShort (nothing is left after trimming).
    """
    return read_frames(path, config, clip_fit(config))


def clip_fit(config: ClipConfig) -> Fit:
    """How the settings size a frame."""
    fit = partial(
        fit_picture, height_px=config.height_px, width_px=config.width_px, resize=config.resize
    )
    return lambda frame, turn: fit(frame, rotation_deg=turn)


def read_frames(path: str | Path, sampling: SamplingConfig, fit: Fit) -> Clip:
    """Decode the frames that the settings name, each sized by `fit`; raises what read_clip does."""
    # An absolute name behind an explicit protocol: no file name can be taken for a URL.
    url = f"file:{Path(path).resolve()}"
    try:
        index = read_index(url)
        found = _read_some(url, index, sampling, fit)
        if found is None:
            log.debug("%s: not every frame can be reached directly, decoding all", path)
            found = _read_all(url, index, sampling, fit)
    except FileNotFoundError as error:
        raise MissingInput(f"no file {path}") from error
    except (av.error.FFmpegError, UnicodeDecodeError) as error:
        raise Undecodable(f"{path} cannot be decoded: {decoders_reason(url) or error}") from error
    if found is None:
        reason = decoders_reason(url) or "the decoder does not say why"
        raise Undecodable(f"{path} holds no frame that can be decoded: {reason}")
    album, timeline, damage = found
    n_total = len(timeline.shown_s)
    # Where all was decoded, frames that are listed and did not come out count as not read.
    came_out = min(n_total / len(index.shown), 1.0) if len(index.shown) else 1.0
    return Clip(
        frames=album.frames(),
        indices=album.choice.indices,
        shown_s=tuple(float(timeline.shown_s[index]) for index in album.choice.indices),
        n_frames_total=n_total,
        fps=index.fps,
        duration_s=timeline.end_s,
        truncated=index.fraction_read < 1,
        fraction_read=index.fraction_read * came_out,
        capped=album.choice.capped,
        rotation_deg=album.rotation_deg,
        n_errors=damage.packets + album.n_corrupt,
    )


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
        self.rotation_deg = 0
        self.n_corrupt = 0

    def add(self, number: int, frame: av.VideoFrame) -> None:
        if number not in self.missing:
            return
        turn = round(frame.rotation / 90) * 90 % 360
        if number == self.first:
            self.rotation_deg = turn
        picture = self.fit(frame, turn)
        self.n_corrupt += frame.is_corrupt
        self.missing.discard(number)
        for row in self.rows[number]:
            if len(self.choice.windows[row]) == 1:
                self.sums[row] = picture
            elif (total := self.sums[row]) is None:
                self.sums[row] = picture.astype(np.uint32)
            else:
                total += picture

    def frames(self) -> NDArray[np.uint8]:
        """Stack the pictures; a window's mean is rounded once, halves up."""
        pictures = [
            ((total + len(window) // 2) // len(window)).astype(np.uint8)
            for total, window in zip(self.sums, self.choice.windows, strict=True)
            if total is not None
        ]
        return np.ascontiguousarray(np.stack(pictures, axis=1))


_Found = tuple[_Album, Timeline, Damage]


def _read_some(url: str, index: Index, sampling: SamplingConfig, fit: Fit) -> _Found | None:
    """Decode only what is needed; None where that does not give every wanted frame, and whole."""
    if not index.is_exact:
        return None
    timeline, damage = index.timeline, Damage()
    album = _Album(choose_frames(timeline, sampling), fit)
    wanted = sorted(album.rows)
    number_of = dict(zip(index.pts[index.shown[wanted]].tolist(), wanted, strict=True))
    runs = index.packets_needed(wanted)
    latest = -1
    for frame in decode_some(url, runs, frozenset(number_of), damage):
        number = -1 if frame.pts is None else number_of[frame.pts]
        if number <= latest:  # the decoder shows them in another order: their times are wrong
            return None
        latest = number
        album.add(number, frame)
    # How a damaged frame is concealed depends on the frames before it, all of them.
    if album.missing or album.n_corrupt or damage.packets:
        return None
    return album, timeline, damage


def _read_all(url: str, index: Index, sampling: SamplingConfig, fit: Fit) -> _Found | None:
    """Decode every frame, twice, and number what comes out; None where nothing does."""
    timeline = _timeline((frame.pts for frame in decode_all(url, Damage())), index)
    if not len(timeline.shown_s):
        return None
    album, damage = _Album(choose_frames(timeline, sampling), fit), Damage()
    for number, frame in enumerate(decode_all(url, damage)):
        album.add(number, frame)
    return album, timeline, damage


def _timeline(times: Iterable[int | None], index: Index) -> Timeline:
    """Say when decoded frames appear: by their own times, or by the rate where one has none."""
    pts = np.array([np.nan if time is None else time for time in times], np.float64)
    if not len(pts) or np.isnan(pts).any():
        return Timeline(np.arange(len(pts)) / index.fps, len(pts) / index.fps)
    # Behind damage a few frames may claim a time that is still to come; none shows before the next.
    shown_s = (np.minimum.accumulate(pts[::-1])[::-1] - pts.min()) * index.time_base_s
    return Timeline(shown_s, float(shown_s[-1]) + 1 / index.fps)
