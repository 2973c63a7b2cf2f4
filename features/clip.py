"""Decode the few frames of a video that a clip is made of, bit-identical to decoding all of them.

A first pass reads only packet headers and lists the frames in display order. A second pass feeds
the decoder nothing but the packets that the wanted frames depend on: from the keyframe before each
one up to its own, with non-reference frames left out. Where that does not find every wanted frame
(damaged files, odd containers) all frames are decoded in order instead.
"""

import logging
from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import av
import numpy as np
from av.codec.context import ThreadType
from av.video.stream import VideoStream
from numpy.typing import NDArray

from features.demux import Entry, open_media, packets, picture_stream, read_index
from features.errors import MissingInput, Undecodable
from features.picture import Resize, fit_picture

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ClipConfig:
    """How a clip is sampled and sized. Every 200th frame at 128x72 is the paper's choice.

    resize "area" averages and so keeps what is small and moving; "paper" is the original's pair of
    bilinear steps, which reads 4 of every 64 pixels. Numbers of the two must never be mixed.
    """

    every_frames: int = 200
    max_frames: int = 64  # 7 minutes at 30 frames a second; the paper has no limit
    height_px: int = 128
    width_px: int = 72
    resize: Resize = "area"

    def __post_init__(self) -> None:
        """Refuse sizes that are no sizes."""
        for name in ("every_frames", "max_frames", "height_px", "width_px"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}, it must be at least 1")


@dataclass(frozen=True)
class Clip:
    """Sampled frames and what is known of the file they come from.

    frames: (3, D, H, W) uint8 RGB. n_frames_total counts the frames the file shows; duration_s is
    how long they last; fps is 30 where the file names no rate. truncated: the file ends well
    before its header says. capped: max_frames left out later frames. n_errors counts damaged
    packets and frames that were concealed. rotation_deg is counter-clockwise, already applied.
    """

    frames: NDArray[np.uint8]
    n_frames_total: int
    fps: float
    duration_s: float
    truncated: bool
    capped: bool
    rotation_deg: int
    n_errors: int


@dataclass(frozen=True)
class _Picture:
    """One decoded frame, sized and upright."""

    image: NDArray[np.uint8]
    rotation_deg: int
    is_corrupt: bool


class _DamageCount:
    def __init__(self) -> None:
        self.packets = 0


def read_clip(path: str | Path, config: ClipConfig) -> Clip:
    """Decode frames 0, N, 2N, … in display order, upright, fitted into H x W on black.

    Raises MissingInput, NoVideoStream, Undecodable.
    """
    # An absolute name behind an explicit protocol: no file name can be taken for a URL.
    url = f"file:{Path(path).resolve()}"
    try:
        entries, header_end_s, fps, time_base_s = read_index(url)
        order = sorted((e for e in entries if not e.is_discard), key=lambda entry: entry.pts)
        wanted = [e.pts for e in order[:: config.every_frames][: config.max_frames]]
        damage = _DamageCount()
        pictures = _decode_needed(url, config, entries, wanted, damage) if entries else {}
        if not wanted or len(pictures) < len(set(wanted)) or len(set(wanted)) < len(wanted):
            log.debug("%s: not every frame can be reached directly, decoding all", path)
            damage = _DamageCount()
            found, n_total = _decode_all(url, config, damage)
        else:
            found, n_total = [pictures[pts] for pts in wanted], len(order)
    except FileNotFoundError as error:
        raise MissingInput(f"no file {path}") from error
    except (av.error.FFmpegError, UnicodeDecodeError) as error:
        raise Undecodable(f"{path} cannot be decoded: {error}") from error
    if not found:
        raise Undecodable(f"{path} holds no frame that can be decoded")
    last_end_s = max((e.pts + e.duration for e in entries), default=0) * time_base_s
    duration_s = sum(e.duration for e in order) * time_base_s or n_total / fps
    return Clip(
        frames=np.ascontiguousarray(np.stack([p.image for p in found], axis=1)),
        n_frames_total=n_total,
        fps=fps,
        duration_s=duration_s,
        # Half a second and 2 %: an edit list or a variable rate moves the end by less than that.
        truncated=header_end_s - last_end_s > max(0.5, 0.02 * header_end_s),
        capped=n_total > config.every_frames * config.max_frames,
        rotation_deg=found[0].rotation_deg,
        n_errors=damage.packets + sum(p.is_corrupt for p in found),
    )


def _needed(entries: list[Entry], wanted: Iterable[int]) -> list[range]:
    """Give the runs of packets (in decode order) that must be decoded to see the wanted frames."""
    position = {entry.pts: index for index, entry in enumerate(entries)}
    # A keyframe serves what is shown from its own time on; frames shown before it that follow it
    # in the file (an open group) need the keyframe before that.
    keyframes = sorted((e.pts, i) for i, e in enumerate(entries) if e.is_keyframe)
    times = [pts for pts, _ in keyframes]
    runs: list[range] = []
    for pts in wanted:
        before = bisect_right(times, pts) - 1
        start = keyframes[before][1] if before >= 0 else 0
        stop = position[pts] + 1
        if runs and start <= runs[-1].stop:
            runs[-1] = range(runs[-1].start, max(stop, runs[-1].stop))
        else:
            runs.append(range(start, stop))
    return runs


def _decode_needed(
    url: str, config: ClipConfig, entries: list[Entry], wanted: list[int], damage: _DamageCount
) -> dict[int, _Picture]:
    """Decode the wanted frames by presentation time; those that do not come out are missing."""
    runs = iter(_needed(entries, wanted))
    targets = set(wanted)
    pictures: dict[int, _Picture] = {}

    def keep(frames: Iterable[av.VideoFrame]) -> None:
        for frame in frames:
            if frame.pts in targets and frame.pts not in pictures:
                pictures[frame.pts] = _picture(frame, config)

    run = next(runs, range(0))
    with open_media(url) as container:
        stream = picture_stream(container, url)
        _one_thread(stream)
        for index, packet in enumerate(packets(container, stream)):
            if index < run.start:
                continue
            stream.codec_context.skip_frame = "DEFAULT" if packet.pts in targets else "NONREF"
            keep(_decode(stream, packet, damage))
            if index + 1 < run.stop:
                continue
            keep(_decode(stream, None, damage))
            stream.codec_context.flush_buffers()
            following = next(runs, None)
            if following is None:
                break
            run = following
    return pictures


def _decode_all(
    url: str, config: ClipConfig, damage: _DamageCount
) -> tuple[list[_Picture], int]:
    """Decode every frame in order and keep the wanted ones; returns them and the full count."""
    pictures: list[_Picture] = []
    n_total = 0
    with open_media(url) as container:
        stream = picture_stream(container, url)
        _one_thread(stream)
        for packet in chain(packets(container, stream), (None,)):
            for frame in _decode(stream, packet, damage):
                wanted = n_total % config.every_frames == 0
                if wanted and len(pictures) < config.max_frames:
                    pictures.append(_picture(frame, config))
                n_total += 1
    return pictures, n_total


def _one_thread(stream: VideoStream) -> None:
    # One decoder per core is faster than two threads in one decoder, and frame threads would
    # make skipping depend on timing.
    stream.codec_context.thread_type = ThreadType.NONE
    stream.codec_context.thread_count = 1


def _decode(
    stream: VideoStream, packet: "av.Packet[VideoStream] | None", damage: _DamageCount
) -> list[av.VideoFrame]:
    try:
        return stream.codec_context.decode(packet)
    except av.error.EOFError:
        return []
    except av.error.InvalidDataError:
        damage.packets += 1
        return []


def _picture(frame: av.VideoFrame, config: ClipConfig) -> _Picture:
    rotation_deg = round(frame.rotation / 90) * 90 % 360
    image = fit_picture(frame, config.height_px, config.width_px, rotation_deg, config.resize)
    return _Picture(image, rotation_deg, frame.is_corrupt)
