"""Weights that a Swin network may start from: torchvision's by name, or a file.

Nothing is downloaded but by `fetch`.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

import torch
from torch import Tensor, nn
from torchvision.models import get_model_weights

from features.backbone_weights import FILE_SUFFIXES
from features.errors import WeightsMismatch, WeightsMissing
from features.weights import load_foreign, weights_sha256
from model.errors import BadSetting

SCRATCH: Final = "scratch"
NETWORKS: Final = ("swin3d_t", "swin3d_s", "swin3d_b")
_N_NAMED = 3  # tensors in a message


def published() -> dict[str, str]:
    """Addresses of torchvision's weights by NETWORK:NAME."""
    return {
        f"{network}:{entry.name}": entry.url
        for network in NETWORKS
        for entry in get_model_weights(network)
    }


def published_file(name: str) -> Path:
    """Where torchvision keeps published weights on this machine, whether they are there or not."""
    return Path(torch.hub.get_dir()) / "checkpoints" / published()[name].rpartition("/")[2]


def starting_weights(weights: str) -> Mapping[str, Tensor]:
    """Read the tensors that a setting names.

    Raises BadSetting for what is neither a name nor a file's, WeightsMissing, WeightsMismatch.
    """
    if weights in published():
        return load_foreign(_published_and_whole(weights))
    file = Path(weights).expanduser()
    if file.suffix not in FILE_SUFFIXES:
        raise BadSetting(
            f"weights {weights!r} must be {SCRATCH!r}, one of {', '.join(published())}, or a file "
            f"in {', '.join(FILE_SUFFIXES)}"
        )
    return load_foreign(file)


def fetch(name: str) -> Path:
    """Download published weights into torchvision's own cache, unless they are there.

    Raises BadSetting for another name, WeightsMissing when the download fails.
    """
    if name not in published():
        raise BadSetting(f"weights {name!r} are none of {', '.join(published())}")
    file, url = published_file(name), published()[name]
    if file.is_file():
        return _published_and_whole(name)
    file.parent.mkdir(parents=True, exist_ok=True)
    try:
        torch.hub.download_url_to_file(url, str(file), _sha256_prefix(file), progress=False)
    except (OSError, RuntimeError) as error:
        # OSError: no network, or no room on the disk. RuntimeError: what came has another hash.
        raise WeightsMissing(f"download of {name} failed: {error}") from error
    return file


def fill(swin: nn.Module, tensors: Mapping[str, Tensor], name: str) -> None:
    """Put the tensors into a network without a head; WeightsMismatch unless all of them fit."""
    given = {key: value for key, value in tensors.items() if not key.startswith("head.")}
    wanted = swin.state_dict()
    faults = [
        f"{key} of {tuple(given[key].shape) if key in given else 'nothing'} "
        f"for {tuple(wanted[key].shape) if key in wanted else 'nothing'}"
        for key in sorted(wanted.keys() | given.keys())
        if key not in given or key not in wanted or given[key].shape != wanted[key].shape
    ]
    if faults:
        raise WeightsMismatch(
            f"{name} does not fit a network of these sizes: {'; '.join(faults[:_N_NAMED])} "
            f"({len(faults)} tensors). torchvision's have patch_depth 2, patch_px 4, "
            "window_depth 8, window_px 7"
        )
    swin.load_state_dict(given)


def _published_and_whole(name: str) -> Path:
    file = published_file(name)
    if not file.is_file():
        raise WeightsMissing(
            f"no weights {name} on this machine: run `viewcast models fetch {name}`, or put "
            f"torchvision's {file.name} into {file.parent}, or name a file of such weights"
        )
    # torch.hub checks what it downloads and trusts whatever lies in its cache afterwards.
    if not (sha256 := weights_sha256(file)).startswith(_sha256_prefix(file)):
        raise WeightsMismatch(
            f"{file} has sha256 {sha256}, torchvision's begins with {_sha256_prefix(file)}: delete "
            "it and fetch it again"
        )
    return file


def _sha256_prefix(file: Path) -> str:
    return file.stem.rpartition("-")[2]
