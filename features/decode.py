"""Decode frames of a media file on one thread: those of chosen packets, or all of them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain

import av
from av.codec.context import ThreadType
from av.video.stream import VideoStream

from features.demux import open_media, packets, picture_stream


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
