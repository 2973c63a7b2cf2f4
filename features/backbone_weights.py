"""Which weights a setting names for one of torchvision's classifiers, and where their file is.

Three places and no other: torchvision's published files in torchvision's own cache, a file that
was named, or a named seed. Nothing is downloaded but by `fetch_weights`.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final, cast

import torch
import torchvision
from torch import Tensor
from torchvision.models import get_model_weights, list_models
from torchvision.transforms import InterpolationMode, functional

from features.errors import WeightsMismatch, WeightsMissing
from features.weights import weights_sha256

#: Every classifier of torchvision that ends in one linear layer over a vector; these three do not.
BACKBONES: Final = tuple(
    list_models(module=torchvision.models, exclude=["googlenet", "inception*", "squeezenet*"])
)
FILE_SUFFIXES: Final = (".pth", ".pt", ".safetensors")
LONGEST_RATIO: Final = 8  # of a picture's sides


@dataclass(frozen=True)
class Preset:
    """How pictures are made ready for a network: the transforms published with its weights.

    The shorter side is resized to resize_px, the middle crop_px x crop_px is kept.
    """

    resize_px: int
    crop_px: int
    interpolation: str
    antialias: bool
    mean: tuple[float, ...]
    std: tuple[float, ...]

    def fit(self, picture: Tensor) -> Tensor:
        """Resize and crop: (3, h, w) uint8 to (3, crop, crop) uint8."""
        # No network sees more of a strip than its middle; all of one, resized, could fill memory.
        longest = LONGEST_RATIO * min(picture.shape[1:])
        strip = [min(side, longest) for side in picture.shape[1:]]
        if strip != list(picture.shape[1:]):
            picture = functional.center_crop(picture, strip)
        mode = InterpolationMode(self.interpolation)
        resized = functional.resize(picture, [self.resize_px], mode, antialias=self.antialias)
        return cast("Tensor", functional.center_crop(resized, [self.crop_px]))

    def normalise(self, pictures: Tensor) -> Tensor:
        """Scale to the network's colours: (D, 3, crop, crop) uint8 to float32."""
        scaled = functional.convert_image_dtype(pictures, torch.float32)
        return cast("Tensor", functional.normalize(scaled, [*self.mean], [*self.std]))


@dataclass(frozen=True)
class PublishedWeights:
    """Weights that torchvision offers; what the file's sha256 begins with is in its name."""

    name: str
    url: str
    sha256_prefix: str
    preset: Preset

    @property
    def file(self) -> Path:
        """Where torchvision keeps the file on this machine, whether it is there or not."""
        return Path(torch.hub.get_dir()) / "checkpoints" / self.file_name

    @property
    def file_name(self) -> str:
        """The file's own name."""
        return self.url.rpartition("/")[2]

    def is_of(self, sha256: str) -> bool:
        """Tell whether a file of that checksum is this one."""
        return bool(self.sha256_prefix) and sha256.startswith(self.sha256_prefix)


@dataclass(frozen=True)
class ChosenWeights:
    """What a `weights` setting means for one backbone.

    published: torchvision's weights, or those whose transforms are used with other weights.
    file: the file that was named. seed: of random weights. Both None: the published file.
    """

    backbone: str
    published: PublishedWeights
    file: Path | None = None
    seed: int | None = None


def published_weights(backbone: str) -> dict[str, PublishedWeights]:
    """Give torchvision's weights of a backbone by name, the first published first."""
    found = {}
    for entry in get_model_weights(backbone):
        if entry.meta["categories"] is None:  # features for a detector; their classifier is NaN
            continue
        transforms = entry.transforms()
        prefix = re.search(r"-([0-9a-f]{8,})\.", entry.url)
        found[entry.name] = PublishedWeights(
            name=entry.name,
            url=entry.url,
            sha256_prefix=prefix[1] if prefix else "",
            preset=Preset(
                resize_px=transforms.resize_size[0],
                crop_px=transforms.crop_size[0],
                interpolation=transforms.interpolation.value,
                antialias=bool(transforms.antialias),
                mean=tuple(transforms.mean),
                std=tuple(transforms.std),
            ),
        )
    return found


def choose_weights(backbone: str, weights: str) -> ChosenWeights:
    """Read the setting: a published name, `DEFAULT`, `random:SEED`, or a file; opens none.

    Raises ValueError for what is none of these.
    """
    if backbone not in BACKBONES:
        raise ValueError(
            f"backbone {backbone!r} is not one of torchvision's classifiers: {', '.join(BACKBONES)}"
        )
    offered = published_weights(backbone)
    first = next(iter(offered.values()))
    if weights == "DEFAULT":
        return ChosenWeights(backbone, offered[get_model_weights(backbone).DEFAULT.name])
    if weights in offered:
        return ChosenWeights(backbone, offered[weights])
    if seed := re.fullmatch(r"random:(\d{1,9})", weights):
        return ChosenWeights(backbone, first, seed=int(seed[1]))
    file = Path(weights).expanduser()
    if file.suffix not in FILE_SUFFIXES:
        raise ValueError(
            f"weights {weights!r} are none of {backbone}'s ({', '.join(offered)}), "
            f"nor random:SEED, nor a file in {', '.join(FILE_SUFFIXES)}"
        )
    return ChosenWeights(backbone, first, file=file)


def recognise(chosen: ChosenWeights) -> PublishedWeights | None:
    """Tell which of torchvision's weights these are, wherever a named file lies; None: others.

    Raises WeightsMissing for a named file that is not there.
    """
    if chosen.seed is not None:
        return None
    if chosen.file is None:
        return chosen.published
    sha256 = weights_sha256(chosen.file)
    offered = published_weights(chosen.backbone).values()
    return next((known for known in offered if known.is_of(sha256)), None)


def find_file(chosen: ChosenWeights) -> Path | None:
    """Return the file that would be loaded; None for random weights.

    Raises WeightsMissing with every way out, WeightsMismatch for a damaged file in the cache.
    """
    if chosen.seed is not None:
        return None
    file = chosen.file or chosen.published.file
    if not file.is_file():
        found = "" if chosen.file is None else f"{file}: no weights file. "
        raise WeightsMissing(found + _ways_out(chosen))
    if chosen.file is None and not chosen.published.is_of(sha256 := weights_sha256(file)):
        # torch.hub checks what it downloads and trusts whatever lies in its cache afterwards.
        raise WeightsMismatch(
            f"{file} has sha256 {sha256}, torchvision's begins with "
            f"{chosen.published.sha256_prefix}: delete it and fetch it again"
        )
    return file


def fetch_weights(chosen: ChosenWeights) -> Path | None:
    """Download published weights into torchvision's own cache, unless they are there.

    Returns the file, None for random weights. Raises WeightsMissing when the download fails.
    """
    try:
        return find_file(chosen)
    except WeightsMissing:
        if chosen.file is not None:
            raise
    published = chosen.published
    published.file.parent.mkdir(parents=True, exist_ok=True)
    try:
        torch.hub.download_url_to_file(
            published.url, str(published.file), published.sha256_prefix, progress=False
        )
    except (OSError, RuntimeError) as error:
        # OSError: no network, or no room on the disk. RuntimeError: what came has another hash.
        raise WeightsMissing(f"download failed ({error}). {_ways_out(chosen)}") from error
    return published.file


def _ways_out(chosen: ChosenWeights) -> str:
    published = chosen.published
    return (
        f"no weights {published.name} of {chosen.backbone} on this machine; one of these helps: "
        "(1) with internet: viewcast weights fetch --of frames; "
        f"(2) put torchvision's {published.file_name} (its sha256 begins with "
        f"{published.sha256_prefix}) into {published.file.parent}; "
        "(3) name a .pth or .safetensors file of this network in the setting frames.weights "
        "(VIEWCAST_FRAMES__WEIGHTS); "
        "(4) to try things out without meaning: frames.weights = random:0"
    )
