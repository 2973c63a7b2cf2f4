"""The paper's large baseline: torchvision's video Swin transformer over the whole clip.

Nothing is downloaded but by `fetch`.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Literal

import torch
from torch import Tensor, nn
from torchvision.models import get_model_weights
from torchvision.models.video import SwinTransformer3d

from features.errors import WeightsMismatch, WeightsMissing
from features.video.backbones import FILE_SUFFIXES
from features.weights import load_foreign, weights_sha256
from model.base import Network
from model.batches import Batch, InputShapes
from model.errors import BadSetting
from model.networks.cnn3d import ClipInput, clip_size, watched

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


HEADS = ("flat", "pooled")


@dataclass(frozen=True)
class Swin3dConfig(ClipInput):
    """Sizes and rules of the network; every default is the paper's.

    patch_depth, patch_px: frames and pixels of a token. window_depth, window_px: tokens that see
    each other. depths, heads: layers of each stage and their heads; each stage is twice as wide.
    head: "flat" reads every place of the last stage, which gives the published 27,625,903
    parameters at the default clip; "pooled" their mean, as torchvision does it.
    final_relu: no prediction below zero (the paper, where the target is in raw views).
    weights: what it starts from: "scratch", a torchvision name such as
    "swin3d_t:KINETICS400_V1", or a file of such a network's weights; all but its head.
    """

    patch_depth: int = 4
    patch_px: int = 4
    window_depth: int = 2
    window_px: int = 7
    embed: int = 96
    depths: tuple[int, ...] = (2, 2, 6, 2)
    heads: tuple[int, ...] = (3, 6, 12, 24)
    dropout: float = 0.1
    attention_dropout: float = 0.0
    stochastic_depth: float = 0.1
    head: Literal["flat", "pooled"] = "flat"
    final_relu: bool = False
    weights: str = SCRATCH

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "depths", tuple(self.depths))  # JSON knows lists only
        object.__setattr__(self, "heads", tuple(self.heads))
        patch = (self.patch_depth, self.patch_px, self.window_depth, self.window_px)
        if min(*patch, self.embed, *self.depths, *self.heads) < 1:
            raise BadSetting(f"every size of the Swin network must be 1 or more: {self}")
        if len(self.depths) != len(self.heads) or sum(self.depths) < 2:
            raise BadSetting(
                f"depths {self.depths} and heads {self.heads} must be of the same stages, with two "
                "layers or more in all"
            )
        for stage, heads in enumerate(self.heads):
            if self.embed * 2**stage % heads:
                raise BadSetting(
                    f"width {self.embed * 2**stage} of stage {stage} must be a multiple of its "
                    f"{heads} heads"
                )
        drops = (self.dropout, self.attention_dropout, self.stochastic_depth)
        if not all(0 <= drop < 1 for drop in drops):
            raise BadSetting(
                f"dropout, attention_dropout and stochastic_depth must be in [0, 1): {drops}"
            )
        if self.head not in HEADS:
            raise BadSetting(f"head {self.head!r} must be one of {', '.join(HEADS)}")

    @property
    def places(self) -> int:
        """Tokens after the last stage; each stage after the first halves height and width."""
        height, width = (-(-side // self.patch_px) for side in (self.height_px, self.width_px))
        for _ in self.depths[1:]:
            height, width = -(-height // 2), -(-width // 2)
        return -(-self.depth // self.patch_depth) * height * width

    def sized(self, shapes: InputShapes) -> "Swin3dConfig":
        """The same for clips of that height and width."""
        height_px, width_px = clip_size(shapes)
        return replace(self, height_px=height_px, width_px=width_px)


class Swin3d(Network):
    """Windows of a clip that shift from layer to layer, and one linear layer at the end."""

    config: Swin3dConfig

    def __init__(self, config: Swin3dConfig) -> None:
        super().__init__()
        self.config = config
        self.shapes = config.shapes
        self.swin = SwinTransformer3d(
            patch_size=[config.patch_depth, config.patch_px, config.patch_px],
            embed_dim=config.embed,
            depths=list(config.depths),
            num_heads=list(config.heads),
            window_size=[config.window_depth, config.window_px, config.window_px],
            dropout=config.dropout,
            attention_dropout=config.attention_dropout,
            stochastic_depth_prob=config.stochastic_depth,
        )
        # Its own end is a mean over all places and a classifier of 400 actions.
        del self.swin.avgpool, self.swin.head
        width = self.swin.num_features * (config.places if config.head == "flat" else 1)
        self.head = nn.Linear(width, config.outputs)
        nn.init.trunc_normal_(self.head.weight, std=0.02)
        nn.init.zeros_(self.head.bias)
        if config.final_relu:
            # Clips look alike to an untrained network. Where it began below zero for one, it would
            # for all, and never learn; so it begins just above, with the same for each.
            nn.init.zeros_(self.head.weight)
            nn.init.ones_(self.head.bias)

    def forward(self, batch: Batch) -> Tensor:
        """Prediction of each row on the target's scale, (B,), or class scores (B, 4)."""
        swin = self.swin
        tokens = swin.pos_drop(swin.patch_embed(watched(batch, self.config.pixels)))
        places = swin.norm(swin.features(tokens)).flatten(1, 3)  # (B, places, C)
        vector = places.flatten(1) if self.config.head == "flat" else places.mean(1)
        predicted: Tensor = self.head(vector)
        if self.config.outputs > 1:
            return predicted
        return (predicted.relu() if self.config.final_relu else predicted).squeeze(1)

    def prepare(self, train: Iterable[Batch]) -> None:  # noqa: ARG002 - its scales are fixed
        """Start from the weights that the config names. Raises WeightsMissing, WeightsMismatch."""
        if self.config.weights != SCRATCH:
            fill(self.swin, starting_weights(self.config.weights), self.config.weights)
