"""The fused regressor: one transformer over what is seen, one over what is heard, joined late."""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from model.batches import Batch, InputShapes
from model.errors import BadSetting
from model.network import Moments, Network, Standardiser


@dataclass(frozen=True)
class FusedConfig:
    """Sizes and rules of the network; every default is the paper's (section III and Table II).

    height_px and width_px are the clip's, so the visual token width is their product.
    missing: what stands in for a modality the row has not. "zeros" feeds zeros through its
    branch, as the paper does; "token" puts a learned vector in place of the branch's output.
    modality_drop: how often training hides a present modality, so that tokens get trained.
    standardise: scale inputs per channel as the training rows ask for, cut at ±clip_at.
    norm_first: normalise before each sub-layer and leave the sum alone. The paper normalises the
    sum, which takes the level of every token (how bright, how loud) out of what follows.
    """

    height_px: int = 128
    width_px: int = 72
    channels: int = 64
    audio_states: int = 7
    audio_width: int = 512
    heads: int = 4
    feed_forward: int = 32
    layers: int = 2  # Table II says 4, but only 2 give the published parameter count
    branch_width: int = 256
    dropout: float = 0.1
    missing: Literal["zeros", "token"] = "zeros"
    modality_drop: float = 0.0
    standardise: bool = False
    clip_at: float = 5.0
    norm_first: bool = False

    def __post_init__(self) -> None:
        inputs = (self.height_px, self.width_px, self.channels, self.audio_states)
        inner = (self.audio_width, self.heads, self.feed_forward, self.layers, self.branch_width)
        if min(*inputs, *inner) < 1:
            raise BadSetting(f"every size of the fused network must be 1 or more: {self}")
        for name, width in (("visual", self.visual_width), ("audio", self.audio_width)):
            if width % self.heads or width % 2:
                raise BadSetting(
                    f"{name} token width {width} must be even and a multiple of {self.heads} heads"
                )
        if not (0 <= self.dropout < 1 and 0 <= self.modality_drop < 1):
            raise BadSetting(
                f"dropout {self.dropout} and modality_drop {self.modality_drop} must be in [0, 1)"
            )
        if self.missing not in ("zeros", "token"):
            raise BadSetting(f"missing {self.missing!r} must be 'zeros' or 'token'")

    @property
    def visual_width(self) -> int:
        """Width of a visual token: all pixels of one hidden channel."""
        return self.height_px * self.width_px


class Branch(nn.Module):
    """Transformer over the tokens of one modality, flattened into one vector."""

    def __init__(self, n_tokens: int, width: int, config: FusedConfig) -> None:
        super().__init__()
        self.dropout = nn.Dropout(config.dropout)
        layer = nn.TransformerEncoderLayer(
            width,
            config.heads,
            config.feed_forward,
            config.dropout,
            batch_first=True,
            norm_first=config.norm_first,
        )
        self.encoder = nn.TransformerEncoder(layer, config.layers, enable_nested_tensor=False)
        self.flat = nn.Linear(n_tokens * width, config.branch_width)
        self._positions: Tensor | None = None

    def forward(self, tokens: Tensor) -> Tensor:
        """tokens: (B, T, E) float32    returns: (B, branch_width)"""
        encoded = self.encoder(self.dropout(tokens + self._positions_like(tokens)))
        vector: Tensor = self.flat(encoded.flatten(1))
        return vector

    def _positions_like(self, tokens: Tensor) -> Tensor:
        # Computed at first use and not a buffer: a network built on the meta device, or straight
        # from a file, must not depend on a table that no file holds.
        held = self._positions
        if held is None or held.device != tokens.device or held.shape != tokens.shape[1:]:
            held = sinusoids(tokens.shape[1], tokens.shape[2]).to(tokens.device)
            self._positions = held
        return held


def sinusoids(n_tokens: int, width: int) -> Tensor:
    """Sine and cosine position table (T, E) float32 of "Attention is all you need"."""
    position = torch.arange(n_tokens, dtype=torch.float32, device="cpu").unsqueeze(1)
    rate_index = torch.arange(0, width, 2, dtype=torch.float32, device="cpu")
    angle = position * torch.exp(rate_index * (-math.log(10_000.0) / width))
    return torch.stack((angle.sin(), angle.cos()), dim=2).reshape(n_tokens, width)


class FusedRegressor(Network):
    """The paper's dual transformer with late fusion, at any clip size its heads divide.

    Visual tokens are the hidden channels of the clip embedding, audio tokens the encoder states.
    """

    config: FusedConfig

    def __init__(self, config: FusedConfig) -> None:
        super().__init__()
        self.config = config
        self.shapes = InputShapes(
            visual=(config.channels, config.height_px, config.width_px),
            audio=(config.audio_states, config.audio_width),
        )
        width = config.branch_width
        self.visual = Branch(config.channels, config.visual_width, config)
        self.audio = Branch(config.audio_states, config.audio_width, config)
        # No activation in between: the paper has none.
        self.head = nn.Sequential(nn.Linear(2 * width, 2 * width), nn.Linear(2 * width, 1))
        self.missing = nn.ParameterDict()
        if config.missing == "token":
            self.missing = nn.ParameterDict(
                {name: nn.Parameter(torch.zeros(width)) for name in ("visual", "audio")}
            )
        self.scalers = nn.ModuleDict()
        if config.standardise:
            clip_at = config.clip_at
            self.scalers["visual"] = Standardiser((config.channels, 1, 1), clip_at=clip_at)
            self.scalers["audio"] = Standardiser(
                (config.audio_states, config.audio_width), clip_at=clip_at
            )

    def forward(self, batch: Batch) -> Tensor:
        """Prediction of each row on the target's scale, (B,)."""
        has_visual, has_audio = self._hide(batch.has_visual), self._hide(batch.has_audio)
        seen = self._vector("visual", batch.visual, has_visual, lambda v: self.visual(v.flatten(2)))
        heard = self._vector("audio", batch.audio, has_audio, self.audio)
        predicted: Tensor = self.head(torch.cat((seen, heard), dim=1)).squeeze(1)
        return predicted

    def prepare(self, train: Iterable[Batch]) -> None:
        """Learn the inputs' scales from the training rows, before the first epoch."""
        if not self.config.standardise:
            return
        moments: dict[str, Moments] = {}
        for name, scaler in self.scalers.items():
            assert isinstance(scaler, Standardiser)
            moments[name] = Moments(tuple(scaler.mean.shape))
        for batch in train:
            moments["visual"].add(batch.visual[batch.has_visual])
            moments["audio"].add(batch.audio[batch.has_audio])
        for name, scaler in self.scalers.items():
            assert isinstance(scaler, Standardiser)
            moments[name].store(scaler)

    def _vector(
        self, name: str, value: Tensor, has: Tensor, branch: Callable[[Tensor], Tensor]
    ) -> Tensor:
        """Branch output (B, branch_width), or its stand-in for rows that have no such feature."""
        if name in self.scalers:
            value = self.scalers[name](value)
        # A scaler turns the zeros of an absent row into something; absent must stay neutral.
        value = value * has.view(-1, *(1,) * (value.ndim - 1)).to(value.dtype)
        vector = branch(value)
        if name not in self.missing:
            return vector
        return torch.where(has.unsqueeze(1), vector, self.missing[name])

    def _hide(self, has: Tensor) -> Tensor:
        if not self.training or self.config.modality_drop == 0:
            return has
        return has & (torch.rand(has.shape, device=has.device) >= self.config.modality_drop)


def deep_head(width: int = 512) -> nn.Sequential:
    """The five-layer head the paper builds, counts and never uses; for its arithmetic only."""
    return nn.Sequential(*(nn.Linear(width, width) for _ in range(5)), nn.Linear(width, 1))


def describe(config: FusedConfig) -> dict[str, object]:
    """Trainable parameters in all and by part, counted on the meta device: no memory, no time.

    `published` adds the deep head that the paper counts but does not use.
    """
    with torch.device("meta"):
        network = FusedRegressor(config)
        unused = _count(deep_head(2 * config.branch_width))
    parts = {
        "visual": _count(network.visual),
        "audio": _count(network.audio),
        "head": _count(network.head),
        "missing_tokens": _count(network.missing),
    }
    total = sum(parts.values())
    return {
        "total": total,
        "parts": parts,
        "unused_deep_head": unused,
        "published": total + unused,
    }


def _count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())
