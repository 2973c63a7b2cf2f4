"""Clip extraction beside the original's method, on vertical H.264 of 20 and 60 seconds.

The original decodes every frame of the file into one tensor, takes every 200th of it, and shrinks
those by two bilinear interpolations, to 1024x576 and to 128x72. Ours reads the index, decodes only
what the wanted frames depend on, and averages areas. Both end with (3, D, 128, 72) uint8.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from bench.measure import Cost, Row, cost_of, report
from features.clip import ClipConfig, read_clip
from features.picture import bilinear, round_to_uint8

EVERY_FRAMES = 200
DURATIONS_S = (20, 60)
FFMPEG = ("ffmpeg", "-nostdin", "-v", "error")
# Vertical as on the site: 30 frames a second, 2 Mb/s, and x264's own choice of keyframes.
SOURCE = "testsrc2=size=576x1024:rate=30,noise=alls=8:allf=t"


def rows() -> list[Row]:
    """Measure both on each clip."""
    found = []
    with tempfile.TemporaryDirectory() as folder:
        longest = Path(folder) / "longest.mp4"
        make_clip(longest, max(DURATIONS_S))
        for duration_s in DURATIONS_S:
            path = Path(folder) / f"{duration_s}.mp4"
            cut_clip(longest, path, duration_s)
            ours = cost_of("bench.clip", "ours", str(path))
            original = cost_of("bench.clip", "original", str(path))
            what = f"clip of {duration_s} s, 576x1024, every {EVERY_FRAMES}th frame: "
            found += _compare(what, ours, original)
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
    kept = every[::EVERY_FRAMES]
    full = [bilinear(np.ascontiguousarray(frame), 1024, 576) for frame in kept]
    small = [bilinear(round_to_uint8(frame), 128, 72) for frame in full]
    return np.stack([round_to_uint8(frame) for frame in small], axis=1)


def read_ours(path: Path) -> NDArray[np.uint8]:
    """Read a clip as `extract clip` does, with the default settings."""
    return read_clip(path, ClipConfig(every_frames=EVERY_FRAMES)).frames


def _compare(what: str, ours: Cost, original: Cost) -> list[Row]:
    return [
        Row(
            what + "CPU",
            f"{ours.cpu_s:.2f} s",
            f"original's way {original.cpu_s:.2f} s",
            f"{original.cpu_s / ours.cpu_s:.1f}",
        ),
        Row(
            what + "wall",
            f"{ours.wall_s:.2f} s",
            f"original's way {original.wall_s:.2f} s",
            f"{original.wall_s / ours.wall_s:.1f}",
        ),
        Row(
            what + "peak memory",
            f"{ours.peak_mb:.0f} MB",
            f"original's way {original.peak_mb:,.0f} MB",
            f"{original.peak_mb / ours.peak_mb:.1f}",
        ),
    ]


if __name__ == "__main__":
    WAYS = {"ours": read_ours, "original": read_original}
    report(lambda: WAYS[sys.argv[1]](Path(sys.argv[2])))
