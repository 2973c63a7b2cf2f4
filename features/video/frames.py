"""The `frames` feature: what a frozen picture network makes of a video's frames, each and pooled.

A few frames, uniform in time, go through the network without its head; the vectors, one a frame,
are kept, and their mean, standard deviation and maximum.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from features.device import full_precision, resolve
from features.errors import FeatureError, NotFinite
from features.extractor import Extracted, FeatureSetSpec, Source
from features.media import media_of
from features.settings import FrameFit, FramesConfig, SamplingConfig
from features.video.backbones import (
    Preset,
    choose_weights,
    find_file,
    load_backbone,
    random_fingerprint,
    recognise,
)
from features.video.clip import fit_size
from features.video.picture import Picture
from features.video.reading import Clip, PictureRequest
from features.weights import weights_sha256

#: Of 0 to 255, what lies around a picture that is not square: the mean of ImageNet's pictures, so
#: that a network sees next to nothing there.
GREY: Final = (124, 116, 104)


def crop(picture: Picture, preset: Preset) -> NDArray[np.uint8]:
    """Cut out the middle as the weights' own transforms do: 43 % of a picture of 9 to 16."""
    whole = np.ascontiguousarray(picture.rgb(picture.height_px, picture.width_px))
    return preset.fit(torch.from_numpy(whole)).numpy()


def pad(picture: Picture, preset: Preset) -> NDArray[np.uint8]:
    """Fit the whole picture into the network's square, on grey."""
    return _on_grey(picture, preset.crop_px, preset.crop_px)


def tiles(picture: Picture, preset: Preset) -> NDArray[np.uint8]:
    """Cover the picture by two squares, one under the other: (3, 2 crop, crop).

    They overlap where it is less than twice as long as it is wide; grey is beside what is longer.
    """
    side, sides = preset.crop_px, (picture.height_px, picture.width_px)
    length = min(round(side * max(sides) / min(sides)), 2 * side)
    if picture.height_px >= picture.width_px:
        whole = _on_grey(picture, length, side)
        first, last = whole[:, :side], whole[:, -side:]
    else:
        whole = _on_grey(picture, side, length)
        first, last = whole[:, :, :side], whole[:, :, -side:]
    return np.concatenate([first, last], axis=1)


def _on_grey(picture: Picture, height_px: int, width_px: int) -> NDArray[np.uint8]:
    rows, columns = fit_size(picture.height_px, picture.width_px, height_px, width_px)
    top, left = (height_px - rows) // 2, (width_px - columns) // 2
    boxed = np.empty((3, height_px, width_px), np.uint8)
    boxed[:] = np.array(GREY, np.uint8)[:, None, None]
    boxed[:, top : top + rows, left : left + columns] = picture.rgb(rows, columns)
    return boxed


#: How a picture is made ready: (3, n crop, crop) uint8, n squares one under the other.
FITS: Final[dict[FrameFit, Callable[[Picture, Preset], NDArray[np.uint8]]]] = {
    "tiles": tiles,
    "pad": pad,
    "crop": crop,
}


EXTRACTOR: Final = "torchvision"
#: Raised whenever the same file and weights would give other numbers.
EXTRACTOR_VERSION: Final = "2"
#: Frames in one pass through the network: bounds its memory whatever n_frames is.
PASS_FRAMES: Final = 16


def spec(config: FramesConfig) -> FeatureSetSpec:
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
        "fit": config.fit,
        "transforms": asdict((known or chosen.published).preset),
    }
    return FeatureSetSpec("frames", settings, EXTRACTOR, EXTRACTOR_VERSION, sha256)


def check(config: FramesConfig) -> None:
    """Raise what loading would raise now rather than in a worker; loads nothing."""
    resolve(config.device)
    find_file(choose_weights(config.backbone, config.weights))


def settled(config: FramesConfig) -> FramesConfig:
    """The config as it is. Raises ValueError for a network or weights that are none."""
    choose_weights(config.backbone, config.weights)
    return config


def build(config: FramesConfig) -> "FramesExtractor":
    """The network without its head."""
    return FramesExtractor(config)


class FramesExtractor:
    """Embeds frames of media files, one file after the other, so that no row depends on another.

    Tensors of a row: mean, std, max (E,) float32 each, over the frames; std is 0 for one frame;
    each (D, E) float16, one vector a frame, that of its squares' mean.
    """

    sound = None

    def __init__(self, config: FramesConfig) -> None:
        """Load the network. Raises DeviceMissing, WeightsMissing, WeightsMismatch."""
        self.device = resolve(config.device)
        chosen = choose_weights(config.backbone, config.weights)
        self.config = config
        self.network = load_backbone(chosen).to(self.device)
        self.preset = (recognise(chosen) or chosen.published).preset
        sampling = SamplingConfig(sampling="uniform", n_frames=config.n_frames)
        self.pictures = PictureRequest(sampling, self._fit)

    def __call__(self, sources: Sequence[Source]) -> list[Extracted | FeatureError]:
        """Embed each file's frames; one that cannot be read costs its own row."""
        return [self._one(source) for source in sources]

    def embed(self, pictures: NDArray[np.uint8]) -> Tensor:
        """Embed pictures of n squares: (3, D, n crop, crop) uint8 RGB to (D, E) float32."""
        side = self.preset.crop_px
        n_frames, n_squares = pictures.shape[1], pictures.shape[2] // side
        squares = torch.from_numpy(pictures).reshape(3, n_frames * n_squares, side, side)
        batch = squares.transpose(0, 1)
        with torch.inference_mode(), full_precision(self.device):
            passes = [
                self.network(self.preset.normalise(batch[at : at + PASS_FRAMES]).to(self.device))
                for at in range(0, len(batch), PASS_FRAMES)
            ]
            vectors = torch.cat(passes).float().cpu()
        return vectors.reshape(n_frames, n_squares, -1).mean(1)

    def _one(self, source: Source) -> Extracted | FeatureError:
        try:
            clip = media_of(source, self).clip(self.pictures)
        except FeatureError as error:
            return error
        embeddings = self.embed(clip.frames)
        each = embeddings.half()
        if not bool(torch.isfinite(each).all()):
            return NotFinite(f"{self.config.backbone} gave infinities or NaN")
        return Extracted({**pool(embeddings), "each": each.numpy()}, _detail(clip))

    def _fit(self, picture: Picture) -> NDArray[np.uint8]:
        # Sized as it comes out of the decoder, so that memory holds one large picture at a time.
        return FITS[self.config.fit](picture, self.preset)


def pool(embeddings: Tensor) -> dict[str, NDArray[Any]]:
    """Pool (D, E) over the frames to mean, std, max, (E,) float32 each."""
    exact = embeddings.double()
    pooled = {"mean": exact.mean(0), "std": exact.std(0, correction=0), "max": exact.amax(0)}
    return {name: value.float().numpy() for name, value in pooled.items()}


def _detail(clip: Clip) -> dict[str, Any]:
    return {
        "n_frames": len(set(clip.indices)),  # a short video gives some of them twice
        "n_frames_total": clip.n_frames_total,
        "times_s": clip.times_s,
        "fps": round(clip.fps, 3),
        "duration_s": round(clip.duration_s, 3),
        "truncated": clip.truncated,
        "fraction_read": round(clip.fraction_read, 4),
        "n_errors": clip.n_errors,
        **asdict(clip.shown),
    }
