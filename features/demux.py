"""List what a media file's picture stream holds, packet by packet, without decoding any of it."""

import logging
from collections.abc import Iterator
from dataclasses import dataclass

import av
from av.container import InputContainer
from av.stream import Disposition
from av.video.stream import VideoStream

from features.errors import NoVideoStream, Undecodable

log = logging.getLogger(__name__)

# Formats a phone or a site may give. Playlists (hls, concat) are left out: they can make the
# demuxer open other files.
FORMATS = "mov,matroska,webm,avi,mpegts,mpeg,flv,asf,ogg"


@dataclass(frozen=True)
class Entry:
    """One packet of the picture stream that holds something to show or to refer to."""

    pts: int
    duration: int
    is_keyframe: bool
    is_discard: bool


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
    """Give packets until the file ends or cannot be read any further."""
    try:
        for packet in container.demux(stream):
            if packet.size:
                yield packet
    except av.error.InvalidDataError as error:
        log.debug("%s ends early: %s", container.name, error)


def read_index(url: str) -> tuple[list[Entry], float, float, float]:
    """List the packets in decode order, and give the header's end, the frame rate, the time base.

    The list is empty when a packet has no time of its own, as in raw streams: then the only
    honest order is the decoder's.
    """
    with open_media(url) as container:
        stream = picture_stream(container, url)
        time_base_s = float(stream.time_base or 0)
        end = (stream.start_time or 0) + (stream.duration or 0)
        fps = float(stream.average_rate or stream.guessed_rate or 0) or 30.0
        entries = []
        for packet in packets(container, stream):
            if packet.pts is None:
                return [], end * time_base_s, fps, time_base_s
            entries.append(
                Entry(packet.pts, packet.duration or 0, packet.is_keyframe, packet.is_discard)
            )
    return entries, end * time_base_s, fps, time_base_s
