"""Clips by other decoders: frames of the same numbers, shrunk inside each decoder."""

import sys
from collections.abc import Callable
from dataclasses import replace
from importlib import import_module
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from bench.clip import EVERY_FRAMES, shrink_twice
from bench.measure import report
from features.settings import PAPER_CLIP
from features.video.clip import read_clip

Read = Callable[[Path], NDArray[np.uint8]]


# Each decoder is loaded where it is measured, before the clock starts: torchcodec brings torch
# along, whose memory is not decord2's.
def torchcodec_exact(*, shrinks: bool) -> Read:
    """Load torchcodec; sized inside its decoder, or not at all."""
    decoders, transforms = (
        import_module("torchcodec.decoders"),
        import_module("torchcodec.transforms"),
    )
    sized = [transforms.Resize((128, 72))] if shrinks else None

    def read(path: Path) -> NDArray[np.uint8]:
        decoder = decoders.VideoDecoder(
            str(path), seek_mode="exact", num_ffmpeg_threads=1, transforms=sized
        )
        frames = decoder.get_frames_at(list(range(0, len(decoder), EVERY_FRAMES))).data
        return np.ascontiguousarray(frames.numpy().transpose(1, 0, 2, 3))

    return read


def decord2(*, shrinks: bool) -> Read:
    """Load decord2; sized inside its decoder, or not at all."""
    decord = import_module("decord")
    sized = {"width": 72, "height": 128} if shrinks else {}

    def read(path: Path) -> NDArray[np.uint8]:
        reader = decord.VideoReader(str(path), num_threads=1, **sized)
        frames = reader.get_batch(list(range(0, len(reader), EVERY_FRAMES))).asnumpy()
        return np.ascontiguousarray(frames.transpose(3, 0, 1, 2))

    return read


def sequential(path: Path) -> NDArray[np.uint8]:
    """Give the original's frames without its memory: all decoded, only the wanted kept."""
    with av.open(str(path)) as container:
        container.streams.video[0].thread_type = "NONE"
        kept = [
            frame.to_ndarray(format="rgb24").transpose(2, 0, 1)
            for number, frame in enumerate(container.decode(video=0))
            if number % EVERY_FRAMES == 0
        ]
    return np.stack(kept, axis=1)


def levels_apart(path: Path) -> int:
    """Give the largest difference of a pixel between ours in `paper` mode and all the others.

    Raises ValueError where another number of frames comes out.
    """
    ours = read_clip(path, replace(PAPER_CLIP, every_frames=EVERY_FRAMES, resize="paper")).frames
    most = 0
    for read in (sequential, torchcodec_exact(shrinks=False), decord2(shrinks=False)):
        theirs = np.stack([shrink_twice(frame) for frame in read(path).swapaxes(0, 1)], axis=1)
        if theirs.shape != ours.shape:
            raise ValueError(f"clips of shapes {theirs.shape} and {ours.shape}")
        most = max(most, int(np.abs(ours.astype(int) - theirs).max()))
    return most


WAYS: dict[str, Callable[..., Read]] = {"torchcodec": torchcodec_exact, "decord2": decord2}

if __name__ == "__main__":
    if sys.argv[1] == "same":
        sys.stdout.write(str(levels_apart(Path(sys.argv[2]))))
    else:
        read = WAYS[sys.argv[1]](shrinks=True)
        report(lambda: read(Path(sys.argv[2])))
