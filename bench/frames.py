"""Embedding eight frames of a 60 s video: ours beside three plain ways with the same network.

The plain ways end in the same pictures: they decode the eight frames in the middle of eight equal
parts (PyAV from the first frame to the last; torchcodec in its exact mode; decord2 by index), give
each to torchvision's own transforms and all to the same network at once. All run on one thread;
loading the network is not counted. A peer that is not installed is left out.
"""

import importlib.util
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path

import av
import torch
from torch import Tensor
from torchvision.models import get_model_weights

from bench.measure import Cost, Row, cost_of, report
from features.extractor import Extracted, Source
from features.settings import FramesConfig
from features.video.backbones import choose_weights, load_backbone
from features.video.frames import FramesExtractor, pool

CONFIG = FramesConfig("resnet18", "random:0", n_frames=8, fit="crop", device="cpu")
DURATION_S, FPS = 60, 30
KEPT = [int((part + 0.5) / CONFIG.n_frames * DURATION_S * FPS) for part in range(CONFIG.n_frames)]
PEERS = {"PyAV, all frames": "av", "torchcodec, exact": "torchcodec", "decord2": "decord"}
TOLERANCE = 0.02  # of the largest number: the decoders' colour conversions differ by a level or two
# Vertical as on the site: 30 frames a second, 2 Mb/s, and x264's own choice of keyframes.
ENCODE = (
    "ffmpeg -nostdin -v error -f lavfi -i testsrc2=size=576x1024:rate=30,noise=alls=8:allf=t "
    f"-t {DURATION_S} -c:v libx264 -preset veryfast -b:v 2M -pix_fmt yuv420p -threads 1"
)


def rows() -> list[Row]:
    """Check that all ways give the same embeddings, then measure each in processes of its own."""
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "video.mp4")
        subprocess.run([*ENCODE.split(), path], check=True)
        here = [name for name, module in PEERS.items() if importlib.util.find_spec(module)]
        mine = way("ours", path)()
        for peer in here:
            apart = float((way(peer, path)() - mine).abs().max() / mine.abs().max())
            if apart > TOLERANCE:
                raise RuntimeError(f"{peer}: the embeddings differ by {apart:.1e}")
        ours = cost_of("bench.frames", "ours", path)
        return [
            row
            for peer in here
            for row in _compare(peer, ours, cost_of("bench.frames", peer, path))
        ]


def way(name: str, path: str) -> Callable[[], Tensor]:
    """Load what the way needs; the result embeds the video: mean, std and max, (3 E,)."""
    if name == "ours":
        extractor = FramesExtractor(CONFIG)
        return lambda: _ours(extractor, path)
    read = {"PyAV, all frames": _read_all, "torchcodec, exact": _torchcodec, "decord2": _decord}
    network = load_backbone(choose_weights(CONFIG.backbone, CONFIG.weights))
    transforms = get_model_weights(CONFIG.backbone).DEFAULT.transforms()
    pictures = read[name](path)

    def embed() -> Tensor:
        with torch.inference_mode():
            return _flat(pool(network(torch.stack([transforms(p) for p in pictures()]))))

    return embed


def _ours(extractor: FramesExtractor, path: str) -> Tensor:
    (result,) = extractor([Source(1, "video", path=path)])
    if not isinstance(result, Extracted):
        raise result
    return _flat(result.tensors)


def _flat(tensors: object) -> Tensor:
    assert isinstance(tensors, dict)
    return torch.cat([torch.from_numpy(tensors[name]) for name in ("mean", "std", "max")])


Pictures = Callable[[], Iterable[Tensor]]


def _read_all(path: str) -> Pictures:
    def pictures() -> Iterable[Tensor]:
        with av.open(path) as container:
            stream = container.streams.video[0]
            stream.thread_type = "NONE"
            for number, frame in enumerate(container.decode(stream)):
                if number in KEPT:
                    yield torch.from_numpy(frame.to_ndarray(format="rgb24")).permute(2, 0, 1)

    return pictures


def _torchcodec(path: str) -> Pictures:
    from torchcodec.decoders import VideoDecoder  # noqa: PLC0415 (a peer that may be absent)

    def pictures() -> Iterable[Tensor]:
        decoder = VideoDecoder(path, seek_mode="exact", num_ffmpeg_threads=1)
        return decoder.get_frames_at(KEPT).data

    return pictures


def _decord(path: str) -> Pictures:
    import decord  # noqa: PLC0415 (a peer that may be absent)

    def pictures() -> Iterable[Tensor]:
        batch = decord.VideoReader(path, num_threads=1).get_batch(KEPT).asnumpy()
        return torch.from_numpy(batch).permute(0, 3, 1, 2)

    return pictures


def _compare(peer: str, ours: Cost, other: Cost) -> list[Row]:
    what = f"{CONFIG.n_frames} frames of {DURATION_S} s, 576x1024, through {CONFIG.backbone}: "
    return [
        Row(
            what + name,
            f"{mine:.{digits}f} {unit}",
            f"{peer} {theirs:.{digits}f} {unit}",
            f"{theirs / mine:.1f}",
        )
        for name, mine, theirs, digits, unit in (
            ("CPU", ours.cpu_s, other.cpu_s, 2, "s"),
            ("wall", ours.wall_s, other.wall_s, 2, "s"),
            ("peak memory", ours.peak_mb, other.peak_mb, 0, "MB"),
        )
    ]


if __name__ == "__main__":
    report(way(sys.argv[1], sys.argv[2]))
