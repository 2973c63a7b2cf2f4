"""List a file's picture packets without decoding any, and decode all or some of its frames."""

import logging
from array import array
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from itertools import chain, islice

import av
import numpy as np
from av.codec.context import ThreadType
from av.container import InputContainer
from av.stream import Disposition
from av.video.stream import VideoStream
from numpy.typing import NDArray

from features.errors import NoVideoStream, Undecodable
from features.video.picture import shown_aspect
from features.video.sampling import Timeline

log = logging.getLogger(__name__)


# Formats a phone or a site may give. Playlists (hls, concat) are left out: they can make the
# demuxer open other files.
FORMATS = "mov,matroska,webm,avi,mpegts,mpeg,flv,asf,ogg"


@dataclass(frozen=True)
class Index:
    """The packets of the picture stream, in the order they are decoded in.

    pts, duration: (n,) int64 in units of time_base_s. is_discard: decoded for others' sake and
    never shown (edit lists). All empty when a packet has no time of its own, as in raw streams:
    then the only honest order is the decoder's. has_guessed_times: the container notes only the
    order of decoding. header_end_s: when the header says that the pictures end, 0 where it does
    not say. fps is 30 where the file names no rate. pixel_aspect: width of a pixel by its height.
    """

    pts: NDArray[np.int64]
    duration: NDArray[np.int64]
    is_keyframe: NDArray[np.bool_]
    is_discard: NDArray[np.bool_]
    has_guessed_times: bool
    header_end_s: float
    fps: float
    time_base_s: float
    pixel_aspect: float = 1.0

    @cached_property
    def shown(self) -> NDArray[np.intp]:
        """Positions of the packets that are shown, in the order they are shown in."""
        kept = np.flatnonzero(~self.is_discard)
        return kept[np.argsort(self.pts[kept], kind="stable")]

    @property
    def is_exact(self) -> bool:
        """Whether every frame can be named by its time."""
        if self.has_guessed_times or not len(self.shown):
            return False
        return bool((np.diff(self.pts[self.shown]) > 0).all())

    @property
    def timeline(self) -> Timeline:
        """When the frames appear."""
        pts = self.pts[self.shown]
        shown_s = (pts - pts[0]) * self.time_base_s
        last_s = int(self.duration[self.shown[-1]]) * self.time_base_s or 1 / self.fps
        return Timeline(shown_s, float(shown_s[-1]) + last_s)

    @property
    def fraction_read(self) -> float:
        """Share of the time promised by the header that has packets; 1 where it says nothing."""
        if not len(self.pts):
            return 1.0
        start_s = float(self.pts.min()) * self.time_base_s
        end_s = float((self.pts + self.duration).max()) * self.time_base_s
        # A quarter second and 2 %: an edit list or a variable rate moves the end by less than that.
        if self.header_end_s - end_s <= max(0.25, 0.02 * self.header_end_s):
            return 1.0
        return max(end_s - start_s, 0.0) / (self.header_end_s - start_s)

    def packets_needed(self, shown: Iterable[int]) -> list[range]:
        """Give the runs of packets that must be decoded to see these frames (display order)."""
        # A keyframe serves what is shown from its own time on; frames shown before it that follow
        # it in the file (an open group) need the keyframe before that.
        keyframes = np.flatnonzero(self.is_keyframe)
        keyframes = keyframes[np.argsort(self.pts[keyframes], kind="stable")]
        times = self.pts[keyframes].tolist()
        runs: list[range] = []
        for position in self.shown[list(shown)].tolist():
            before = bisect_right(times, self.pts[position]) - 1
            start, stop = int(keyframes[before]) if before >= 0 else 0, position + 1
            if runs and start <= runs[-1].stop:
                runs[-1] = range(runs[-1].start, max(stop, runs[-1].stop))
            else:
                runs.append(range(start, stop))
        return runs


def open_media(url: str) -> InputContainer:
    """Open a `file:` URL; nothing in it can make other files or hosts be opened."""
    return av.open(
        url,
        options={"protocol_whitelist": "file", "format_whitelist": FORMATS},
        metadata_errors="replace",
    )


def picture_stream(container: InputContainer, url: str) -> VideoStream:
    """Pick the first stream that moves; a cover picture is a video stream too."""
    name = url.removeprefix("file:")
    for stream in container.streams.video:
        if stream.disposition & Disposition.attached_pic:
            continue
        if stream.codec_context is None:  # its type says otherwise; so it is for unknown codecs
            raise Undecodable(f"{name} has pictures in a codec that is not known here")
        return stream
    raise NoVideoStream(f"{name} holds no moving picture")


def packets(container: InputContainer, stream: VideoStream) -> "Iterator[av.Packet[VideoStream]]":
    """Give packets until the file ends or cannot be read any further.

    Raises Undecodable where they are encrypted: a decoder makes noise of some of them, not errors.
    """
    try:
        for packet in container.demux(stream):
            if packet.has_sidedata("encryption_info"):
                raise Undecodable(f"{container.name.removeprefix('file:')} is encrypted")
            if packet.size:
                yield packet
    # IndexError: a damaged file shows a stream that PyAV did not see when it opened it.
    except (av.error.InvalidDataError, IndexError) as error:
        log.debug("%s ends early: %s", container.name, error)


def read_index(url: str) -> Index:
    """List the packets of the picture stream. Raises NoVideoStream, Undecodable, av's errors."""
    times, durations, flags = array("q"), array("q"), bytearray()
    with open_media(url) as container:
        stream = picture_stream(container, url)
        for packet in packets(container, stream):
            if packet.pts is None:
                times, durations, flags = array("q"), array("q"), bytearray()
                break
            times.append(packet.pts)
            durations.append(packet.duration or 0)
            flags.append(packet.is_keyframe | packet.is_discard << 1)
        marks = np.frombuffer(flags, np.uint8)
        return Index(
            pts=np.array(times, np.int64),
            duration=np.array(durations, np.int64),
            is_keyframe=(marks & 1) > 0,
            is_discard=(marks & 2) > 0,
            # AVI has room for no presentation time; where frames are reordered it is made up.
            has_guessed_times=container.format.name == "avi" and stream.codec_context.has_b_frames,
            header_end_s=_header_end_s(container, stream),
            fps=float(stream.average_rate or stream.guessed_rate or 0) or 30.0,
            time_base_s=float(stream.time_base or 0),
            pixel_aspect=shown_aspect(stream.sample_aspect_ratio),
        )


def decoders_reason(url: str) -> str:
    """Read the file once more for what the decoder has to say about it; may be empty."""
    level, skips = av.logging.get_level(), av.logging.get_skip_repeated()
    av.logging.set_level(av.logging.ERROR)
    av.logging.set_skip_repeated(False)
    try:
        with (
            av.logging.Capture() as said,
            suppress(av.error.FFmpegError, UnicodeDecodeError),
            open_media(url) as container,
        ):
            stream = picture_stream(container, url)
            for packet in islice(packets(container, stream), 8):
                stream.codec_context.decode(packet)
    finally:
        av.logging.set_level(level)
        av.logging.set_skip_repeated(skips)
    lines = dict.fromkeys(
        f"{name}: {text.splitlines()[0].strip()}" for _, name, text in said if text.strip()
    )
    return "; ".join(list(lines)[:3])


def _header_end_s(container: InputContainer, stream: VideoStream) -> float:
    if stream.duration:
        return float(((stream.start_time or 0) + stream.duration) * (stream.time_base or 0))
    # Matroska and WebM note a track's length as text, "00:00:04.000000000".
    hours, _, rest = stream.metadata.get("DURATION", "").partition(":")
    minutes, _, seconds = rest.partition(":")
    with suppress(ValueError):
        return int(hours) * 3600 + int(minutes) * 60 + float(seconds)
    # The file's own length is the pictures' only where no sound can outlast them.
    if container.duration and len(container.streams) == 1:
        return ((container.start_time or 0) + container.duration) / av.time_base
    return 0.0


@dataclass
class Damage:
    """Counts, while frames come out, the packets that the decoder refused."""

    packets: int = 0


def decode_some(
    url: str, runs: Sequence[range], wanted: frozenset[int], damage: Damage
) -> Iterator[av.VideoFrame]:
    """Give the frames whose presentation time is wanted, as they come out of the decoder.

    Only the packets in the runs (numbered in the order of the file) reach the decoder, and of
    those that no other frame refers to only the wanted ones. What does not come out is missing.
    """
    left = iter(runs)
    run = next(left, None)
    if run is None:
        return
    with open_media(url) as container:
        stream = picture_stream(container, url)
        _one_thread(stream)
        for number, packet in enumerate(packets(container, stream)):
            if number < run.start:
                continue
            stream.codec_context.skip_frame = "DEFAULT" if packet.pts in wanted else "NONREF"
            found = _decode(stream, packet, damage)
            is_last = number + 1 == run.stop
            if is_last:
                found += _decode(stream, None, damage)
                stream.codec_context.flush_buffers()
            yield from (frame for frame in found if frame.pts in wanted)
            if is_last:
                run = next(left, None)
                if run is None:
                    return


def decode_all(url: str, damage: Damage) -> Iterator[av.VideoFrame]:
    """Give every frame in display order."""
    with open_media(url) as container:
        stream = picture_stream(container, url)
        _one_thread(stream)
        for packet in chain(packets(container, stream), (None,)):
            yield from _decode(stream, packet, damage)


def _one_thread(stream: VideoStream) -> None:
    # One decoder per core is faster than two threads in one decoder, and frame threads would
    # make skipping depend on timing.
    stream.codec_context.thread_type = ThreadType.NONE
    stream.codec_context.thread_count = 1


def _decode(
    stream: VideoStream, packet: "av.Packet[VideoStream] | None", damage: Damage
) -> list[av.VideoFrame]:
    try:
        return stream.codec_context.decode(packet)
    except av.error.EOFError:
        return []
    except av.error.InvalidDataError:
        damage.packets += 1
        return []
