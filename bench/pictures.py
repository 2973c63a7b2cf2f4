"""How near a clip's pixels are to what they should be, and what one pass for all saves.

The first: PSNR of small pictures against the exact mean of what they cover (bench/exact.py), ours
and those of a scaler with its shortcuts, which others use by default. The second: the CPU time of
three requests (a clip, eight pictures for a network, one thumbnail) in one pass and one by one.
"""

import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import av
import numpy as np
from av.video.reformatter import Interpolation, VideoReformatter

from bench.clip import FFMPEG, make_clip
from bench.exact import exact_picture, psnr_db
from bench.measure import Row, cost_of, report
from features.settings import ClipConfig, SamplingConfig
from features.video.backbones import published_weights
from features.video.clip import clip_request, fit_picture
from features.video.frames import tiles
from features.video.picture import Picture
from features.video.reading import PictureRequest, read_pictures

HEIGHT_PX, WIDTH_PX = 32, 18
#: What is drawn, its matrix and range, its format, and how H.264 notes the matrix.
MADE = {
    "moving, BT.709 limited": ("testsrc2=size=576x1024:rate=5,noise=alls=8:allf=t", "bt709", "tv"),
    "moving, BT.601 full": ("testsrc2=size=576x1024:rate=5,noise=alls=8:allf=t", "bt601", "pc"),
    "gradients, BT.2020 limited, 10 bit": ("gradients=size=576x1024:rate=5:seed=3", "bt2020", "tv"),
    "stripes as wide as a pixel, BT.709 limited": (
        "color=red:size=576x1024:rate=5,"
        "drawgrid=width=64:height=2048:thickness=32:color=blue:replace=1",
        "bt709",
        "tv",
    ),
}
TAGS = {"bt709": "bt709", "bt601": "smpte170m", "bt2020": "bt2020nc"}
DURATION_S = 30
N_FRAMES = 4


def rows() -> list[Row]:
    """Measure both."""
    with tempfile.TemporaryDirectory() as folder:
        found = [_quality(name, _made(Path(folder), name)) for name in MADE]
        path = Path(folder) / "long.mp4"
        make_clip(path, DURATION_S)
        together = cost_of("bench.pictures", "together", str(path))
        apart = cost_of("bench.pictures", "apart", str(path))
        what = f"clip, 8 pictures for a network and a thumbnail of {DURATION_S} s, 576x1024: CPU"
        found.append(
            Row(
                what,
                f"one pass {together.cpu_s:.2f} s",
                f"one by one {apart.cpu_s:.2f} s",
                f"{apart.cpu_s / together.cpu_s:.1f}",
            )
        )
        return found


def nearness(path: Path) -> tuple[float, float, float, float]:
    """Give PSNR in dB and bias in levels, ours and the shortcuts', over some of a file's frames."""
    ours, others, exact = [], [], []
    for frame in _frames(path):
        size = (HEIGHT_PX, WIDTH_PX) if frame.height > frame.width else (WIDTH_PX, HEIGHT_PX)
        ours.append(Picture(frame).rgb(*size).astype(float))
        sized = VideoReformatter().reformat(
            frame, size[1], size[0], "rgb24", interpolation=Interpolation.AREA
        )
        others.append(sized.to_ndarray().transpose(2, 0, 1).astype(float))
        exact.append(exact_picture(frame, *size))
    mine, theirs, right = np.stack(ours), np.stack(others), np.stack(exact)
    return (
        psnr_db(mine, right),
        float((mine - right).mean()),
        psnr_db(theirs, right),
        float((theirs - right).mean()),
    )


def _quality(name: str, path: Path) -> Row:
    ours, our_bias, other, other_bias = nearness(path)
    return Row(
        f"32x18 of {name}, against the exact mean: PSNR; bias",
        f"{ours:.1f} dB; {our_bias:+.2f} levels",
        f"scaler's defaults {other:.1f} dB; {other_bias:+.2f} levels",
        f"{ours - other:+.1f} dB",
    )


def _made(folder: Path, name: str) -> Path:
    source, matrix, span = MADE[name]
    layout = "yuv420p10le" if matrix == "bt2020" else "yuv420p"
    convert = f"scale=out_color_matrix={matrix}:out_range={span},format={layout}"
    path = folder / f"{len(list(folder.iterdir()))}.mp4"
    command = [*FFMPEG, "-f", "lavfi", "-i", source, "-t", "2", "-vf", convert]
    command += ["-c:v", "libx264", "-colorspace", TAGS[matrix], "-color_range", span, str(path)]
    subprocess.run(command, check=True)
    return path


def _frames(path: Path) -> Iterator[av.VideoFrame]:
    with av.open(str(path)) as container:
        frames = list(container.decode(container.streams.video[0]))
    yield from frames[:: max(len(frames) // N_FRAMES, 1)][:N_FRAMES]


def requests() -> list[PictureRequest]:
    """Ask for a clip, for pictures of a network's size, and for one thumbnail."""
    preset = published_weights("resnet18")["IMAGENET1K_V1"].preset
    return [
        clip_request(ClipConfig()),
        PictureRequest(SamplingConfig("uniform", n_frames=8), lambda p: tiles(p, preset)),
        PictureRequest(
            SamplingConfig("uniform", n_frames=1), lambda p: fit_picture(p, 256, 144, "area")
        ),
    ]


def _together(path: Path) -> None:
    read_pictures(path, requests())


def _apart(path: Path) -> None:
    for request in requests():
        read_pictures(path, [request])


WAYS: dict[str, Callable[[Path], None]] = {"together": _together, "apart": _apart}

if __name__ == "__main__":
    way = WAYS[sys.argv[1]]
    report(lambda: way(Path(sys.argv[2])))
