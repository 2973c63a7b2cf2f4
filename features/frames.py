"""The `frames` feature: what a frozen picture network makes of a video's frames, pooled.

A few frames, uniform in time, go through the transforms of the network's own weights and through
the network without its head; of the vectors, one a frame, the mean, the standard deviation and
the maximum over the frames are kept.
"""

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from typing import Any, Final

import av
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from features.backbone import load_backbone, random_fingerprint
from features.backbone_weights import choose_weights, find_file, recognise
from features.clip import Clip, read_frames
from features.errors import FeatureError, MissingInput, NotFinite
from features.extractor import Extracted, FeatureSetSpec, Source
from features.sampling import SamplingConfig
from features.weights import weights_sha256

EXTRACTOR: Final = "torchvision"
#: Raised whenever the same file and weights would give other numbers.
EXTRACTOR_VERSION: Final = "1"
#: Frames in one pass through the network: bounds its memory whatever n_frames is.
PASS_FRAMES: Final = 16


@dataclass(frozen=True)
class FramesConfig:
    """Which frames are looked at, and by whom.

    backbone: a classifier of torchvision. weights: the name of its published weights (such as
    IMAGENET1K_V1, or DEFAULT), a .pth or .safetensors file, or random:SEED, which means nothing
    and needs no download. n_frames: so many frames, uniform in time.
    """

    backbone: str = "resnet18"
    weights: str = "IMAGENET1K_V1"
    n_frames: int = 8

    def __post_init__(self) -> None:
        """Refuse what names no network or no weights."""
        choose_weights(self.backbone, self.weights)
        if self.n_frames < 1:
            raise ValueError(f"n_frames is {self.n_frames}, it must be at least 1")


def frames_spec(config: FramesConfig) -> FeatureSetSpec:
    """Name the feature set. A published file gives the same name wherever it lies.

    Raises WeightsMissing where a named file is not there.
    """
    chosen = choose_weights(config.backbone, config.weights)
    known = recognise(chosen)
    if known is not None:
        # Known without the file: its name has the beginning of its checksum in it.
        weights, sha256 = f"{known.name} ({known.file_name})", None
    elif chosen.seed is not None:
        weights, sha256 = f"random:{chosen.seed}", random_fingerprint(config.backbone, chosen.seed)
    else:
        assert chosen.file is not None
        weights, sha256 = "file", weights_sha256(chosen.file)
    settings: dict[str, Any] = {
        "backbone": config.backbone,
        "weights": weights,
        "n_frames": config.n_frames,
        "transforms": asdict((known or chosen.published).preset),
    }
    return FeatureSetSpec("frames", settings, EXTRACTOR, EXTRACTOR_VERSION, sha256)


def check_weights(config: FramesConfig) -> None:
    """Raise WeightsMissing or WeightsMismatch now rather than in a worker; loads nothing."""
    find_file(choose_weights(config.backbone, config.weights))


class FramesExtractor:
    """Embeds frames of media files, one file after the other, so that no row depends on another.

    Tensors of a row: mean, std, max (E,) float32 each, over the frames; std is 0 for one frame.
    """

    def __init__(self, config: FramesConfig, *, device: str = "auto") -> None:
        """Load the network. device "auto": the GPU where there is one.

        Raises WeightsMissing, WeightsMismatch.
        """
        if device == "auto":
            device = "cuda" if torch.cuda.is_available() else "cpu"
        chosen = choose_weights(config.backbone, config.weights)
        self.config = config
        self.device = device
        self.network = load_backbone(chosen).to(device)
        self.preset = (recognise(chosen) or chosen.published).preset

    def __call__(self, sources: Sequence[Source]) -> list[Extracted | FeatureError]:
        """Embed each file's frames; one that cannot be read costs its own row."""
        return [self._one(source) for source in sources]

    def embed(self, pictures: NDArray[np.uint8]) -> Tensor:
        """Embed pictures of the network's size: (3, D, crop, crop) uint8 RGB to (D, E) float32."""
        full_precision = (
            # TF32 would move the numbers by 1e-3, away from those of a machine without a GPU.
            torch.backends.cudnn.flags(enabled=True, allow_tf32=False)
            if self.device.startswith("cuda")
            else nullcontext()
        )
        with torch.inference_mode(), full_precision:
            batch = self.preset.normalise(torch.from_numpy(pictures).transpose(0, 1))
            passes = [
                self.network(batch[start : start + PASS_FRAMES].to(self.device))
                for start in range(0, len(batch), PASS_FRAMES)
            ]
            return torch.cat(passes).float().cpu()

    def _one(self, source: Source) -> Extracted | FeatureError:
        try:
            if source.path is None:
                raise MissingInput(f"video {source.tiktok_id} has no media file")
            sampling = SamplingConfig(sampling="uniform", n_frames=self.config.n_frames)
            clip = read_frames(source.path, sampling, self._fit)
        except FeatureError as error:
            return error
        embeddings = self.embed(clip.frames)
        if not bool(torch.isfinite(embeddings).all()):
            return NotFinite(f"{self.config.backbone} gave infinities or NaN")
        return Extracted(pool(embeddings), _detail(clip))

    def _fit(self, frame: av.VideoFrame, rotation_deg: int) -> NDArray[np.uint8]:
        # Sized as it comes out of the decoder, so that memory holds one large picture at a time.
        upright = np.rot90(frame.to_ndarray(format="rgb24"), k=rotation_deg // 90)
        picture = torch.from_numpy(np.ascontiguousarray(upright)).permute(2, 0, 1)
        return self.preset.fit(picture).numpy()


def pool(embeddings: Tensor) -> dict[str, NDArray[np.float32]]:
    """Pool (D, E) over the frames to mean, std, max, (E,) float32 each."""
    exact = embeddings.double()
    pooled = {"mean": exact.mean(0), "std": exact.std(0, correction=0), "max": exact.amax(0)}
    return {name: value.float().numpy() for name, value in pooled.items()}


def _detail(clip: Clip) -> dict[str, Any]:
    return {
        "n_frames": len(set(clip.indices)),  # a short video gives some of them twice
        "n_frames_total": clip.n_frames_total,
        "fps": round(clip.fps, 3),
        "duration_s": round(clip.duration_s, 3),
        "truncated": clip.truncated,
        "fraction_read": round(clip.fraction_read, 4),
        "rotation_deg": clip.rotation_deg,
        "n_errors": clip.n_errors,
    }
