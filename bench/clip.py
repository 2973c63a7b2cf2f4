"""Clip extraction beside the original's method and two decoders, on vertical H.264.

The original decodes every frame of the file into one tensor, takes every 200th of it, and shrinks
those by two bilinear interpolations, to 1024x576 and to 128x72. Ours reads the index, decodes only
what the wanted frames depend on, and averages areas. torchcodec (exact mode) and decord2 seek to
the same frames and shrink them while decoding. All end with (3, D, 128, 72) uint8, on one thread.
"""

import subprocess
import sys
import tempfile
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from bench.measure import ROOT, Cost, Row, cost_of, report
from features.settings import PAPER_CLIP
from features.video.clip import bilinear, read_clip, round_to_uint8

EVERY_FRAMES = 200
DURATIONS_S = (20, 60)
FFMPEG = ("ffmpeg", "-nostdin", "-v", "error")
# Vertical as on the site: 30 frames a second, 2 Mb/s, and x264's own choice of keyframes.
SOURCE = "testsrc2=size=576x1024:rate=30,noise=alls=8:allf=t"


def rows() -> list[Row]:
    """Measure every way on each clip; decoders that are not installed are left out."""
    found = []
    with tempfile.TemporaryDirectory() as folder:
        longest = Path(folder) / "longest.mp4"
        make_clip(longest, max(DURATIONS_S))
        for duration_s in DURATIONS_S:
            path = Path(folder) / f"{duration_s}.mp4"
            cut_clip(longest, path, duration_s)
            what = f"clip of {duration_s} s, 576x1024, every {EVERY_FRAMES}th frame: "
            ours = cost_of("bench.clip", "ours", str(path))
            others = {"original's way": cost_of("bench.clip", "original", str(path))}
            has_peers = all(find_spec(module) for module in ("torchcodec", "decord"))
            if has_peers and duration_s == max(DURATIONS_S):
                others["torchcodec exact"] = cost_of("bench.clip_peers", "torchcodec", str(path))
                others["decord2"] = cost_of("bench.clip_peers", "decord2", str(path))
                found.append(_same_frames(what, path))
            for name, other in others.items():
                found += _compare(what, ours, name, other)
    return found


def make_clip(path: Path, duration_s: int) -> None:
    """Encode a moving test picture with some noise, as a phone's upload is compressed."""
    command = [*FFMPEG, "-f", "lavfi", "-i", SOURCE, "-t", str(duration_s)]
    command += ["-c:v", "libx264", "-preset", "veryfast", "-b:v", "2M", "-pix_fmt", "yuv420p"]
    subprocess.run([*command, "-threads", "1", str(path)], check=True)


def cut_clip(whole: Path, path: Path, duration_s: int) -> None:
    """Take the first seconds, the compressed packets as they are."""
    command = [*FFMPEG, "-i", str(whole), "-t", str(duration_s), "-c", "copy", str(path)]
    subprocess.run(command, check=True)


def read_original(path: Path) -> NDArray[np.uint8]:
    """Read a clip the original's way: all frames, one tensor, skip, shrink twice."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        stream.thread_type = "NONE"  # as ours: both are measured on one thread
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(stream)]
    every = np.stack(frames).transpose(0, 3, 1, 2)
    return np.stack([shrink_twice(frame) for frame in every[::EVERY_FRAMES]], axis=1)


def shrink_twice(frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Shrink (3, h, w) the original's way: to 1024x576 and on to 128x72, both bilinear."""
    full = round_to_uint8(bilinear(np.ascontiguousarray(frame), 1024, 576))
    return round_to_uint8(bilinear(full, 128, 72))


def read_ours(path: Path) -> NDArray[np.uint8]:
    """Read a clip as `extract clip` does, at the paper's size."""
    return read_clip(path, replace(PAPER_CLIP, every_frames=EVERY_FRAMES)).frames


def _compare(what: str, ours: Cost, name: str, other: Cost) -> list[Row]:
    return [
        Row(
            what + "CPU",
            f"{ours.cpu_s:.2f} s",
            f"{name} {other.cpu_s:.2f} s",
            f"{other.cpu_s / ours.cpu_s:.1f}",
        ),
        Row(
            what + "wall",
            f"{ours.wall_s:.2f} s",
            f"{name} {other.wall_s:.2f} s",
            f"{other.wall_s / ours.wall_s:.1f}",
        ),
        Row(
            what + "peak memory",
            f"{ours.peak_mb:.0f} MB",
            f"{name} {other.peak_mb:,.0f} MB",
            f"{other.peak_mb / ours.peak_mb:.1f}",
        ),
    ]


def _same_frames(what: str, path: Path) -> Row:
    command = [sys.executable, "-m", "bench.clip_peers", "same", str(path)]
    done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    return Row(
        what + "same frames, `paper` mode; largest difference of a pixel",
        "",
        "original's way, torchcodec and decord2",
        f"{done.stdout} levels apart",
    )


if __name__ == "__main__":
    WAYS = {"ours": read_ours, "original": read_original}
    report(lambda: WAYS[sys.argv[1]](Path(sys.argv[2])))
