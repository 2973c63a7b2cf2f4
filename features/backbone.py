"""Torchvision's picture classifiers without their heads: pictures in, one vector each out."""

import hashlib
import re
from collections import OrderedDict
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from pickle import UnpicklingError  # noqa: TID251 - named to be caught; nothing is unpickled here
from typing import Any, cast

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn
from torchvision.models import get_model

from features.backbone_weights import ChosenWeights, choose_weights, find_file, recognise
from features.errors import WeightsMismatch, WeightsMissing

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
        network = cast("nn.Module", get_model(chosen.backbone, weights=None, **arguments))
    head = _remove_head(network)
    if file is not None:
        _fill(network, head, read_tensors(file), f"{file} does not fit {chosen.backbone}")
    # This order of the numbers in memory makes convolutions a quarter faster on a processor.
    network = network.to(memory_format=torch.channels_last)
    return network.eval().requires_grad_(False)


def fingerprint(network: nn.Module) -> str:
    """Hash names and values of a network's tensors, sorted by name, to a sha256."""
    digest = hashlib.sha256()
    for name, tensor in sorted(network.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.cpu().contiguous().numpy().data)
    return digest.hexdigest()


@lru_cache(maxsize=8)
def random_fingerprint(backbone: str, seed: int) -> str:
    """Hash the weights that a seed gives here: another torch or processor may draw others."""
    return fingerprint(load_backbone(choose_weights(backbone, f"random:{seed}")))


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


def _remove_head(network: nn.Module) -> str:
    """Let the features through where the classes were; return the name of the removed layer."""
    name: str = [name for name, _ in network.named_modules()][-1]
    parent, _, own_name = name.rpartition(".")
    setattr(network.get_submodule(parent), own_name, nn.Identity())
    return name
