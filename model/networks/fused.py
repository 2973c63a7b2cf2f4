"""The fused regressor: one transformer over what is seen, one over what is heard, joined late."""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor, nn

from model.base import N_OUTPUTS, Moments, Network, Standardiser
from model.batches import Batch, InputShapes
from model.errors import BadSetting, IncompatibleFeatures


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
    modalities: what it looks and listens with; one alone is an ablation.
    head: "deep" is the five-layer one that the paper built, counted and never used.
    outputs: 1, or 4 class scores.
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
    modalities: Literal["both", "visual", "audio"] = "both"
    head: Literal["shallow", "deep"] = "shallow"
    outputs: int = 1

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
        if self.modalities not in ("both", "visual", "audio"):
            raise BadSetting(f"modalities {self.modalities!r} must be 'both', 'visual' or 'audio'")
        if self.head not in ("shallow", "deep"):
            raise BadSetting(f"head {self.head!r} must be 'shallow' or 'deep'")
        if self.outputs not in N_OUTPUTS:
            raise BadSetting(f"outputs {self.outputs} must be 1, or 4 for the quarters")

    @property
    def reads(self) -> tuple[Literal["visual", "audio"], ...]:
        """The features that it looks and listens with."""
        return ("visual", "audio") if self.modalities == "both" else (self.modalities,)

    @property
    def needs(self) -> tuple[Literal["visual", "audio"], ...]:
        """Those without which a row has no score."""
        # A video without a sound track is a video; one without a picture is not.
        return self.reads[:1]

    def sized(self, shapes: InputShapes) -> "FusedConfig":
        """The same for features of these shapes; IncompatibleFeatures without those it needs.

        Where no video has a sound track, the size that the config names stays.
        """
        for feature in self.needs:
            if getattr(shapes, feature) is None:
                raise IncompatibleFeatures(f"it reads {feature} features; given were {shapes}")
        config = self
        if "visual" in self.reads and shapes.visual is not None:
            channels, height_px, width_px = shapes.visual
            config = replace(config, channels=channels, height_px=height_px, width_px=width_px)
        if "audio" in self.reads and shapes.audio is not None:
            states, width = shapes.audio
            config = replace(config, audio_states=states, audio_width=width)
        return config

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


# No activation in between: the paper has none.
def shallow_head(width: int, outputs: int = 1) -> nn.Sequential:
    """The head that the paper used: two layers."""
    return nn.Sequential(nn.Linear(width, width), nn.Linear(width, outputs))


def deep_head(width: int, outputs: int = 1) -> nn.Sequential:
    """The head that the paper built and counted, and never used: six layers."""
    return nn.Sequential(*(nn.Linear(width, width) for _ in range(5)), nn.Linear(width, outputs))


HEADS = {"shallow": shallow_head, "deep": deep_head}


class FusedRegressor(Network):
    """The paper's dual transformer with late fusion, at any clip size its heads divide.

    Visual tokens are the hidden channels of the clip embedding, audio tokens the encoder states.
    """

    config: FusedConfig

    def __init__(self, config: FusedConfig) -> None:
        super().__init__()
        self.config = config
        visual = (config.channels, config.height_px, config.width_px)
        audio = (config.audio_states, config.audio_width)
        self.shapes = InputShapes(
            visual=visual if "visual" in config.reads else None,
            audio=audio if "audio" in config.reads else None,
        )
        if "visual" in config.reads:
            self.visual = Branch(config.channels, config.visual_width, config)
        if "audio" in config.reads:
            self.audio = Branch(config.audio_states, config.audio_width, config)
        width = config.branch_width
        self.head = HEADS[config.head](len(config.reads) * width, config.outputs)
        self.missing = nn.ParameterDict()
        if config.missing == "token":
            self.missing = nn.ParameterDict(
                {name: nn.Parameter(torch.zeros(width)) for name in config.reads}
            )
        self.scalers = nn.ModuleDict()
        if config.standardise:
            scales = {"visual": (config.channels, 1, 1), "audio": audio}
            self.scalers = nn.ModuleDict(
                {name: Standardiser(scales[name], clip_at=config.clip_at) for name in config.reads}
            )

    def forward(self, batch: Batch) -> Tensor:
        """Prediction of each row on the target's scale, (B,), or class scores (B, 4)."""
        vectors = []
        if "visual" in self.config.reads:
            vectors.append(self._vector("visual", batch.visual, batch.has_visual, self._see))
        if "audio" in self.config.reads:
            vectors.append(self._vector("audio", batch.audio, batch.has_audio, self.audio))
        predicted: Tensor = self.head(torch.cat(vectors, dim=1))
        return predicted.squeeze(1) if self.config.outputs == 1 else predicted

    def _see(self, visual: Tensor) -> Tensor:
        vector: Tensor = self.visual(visual.flatten(2))
        return vector

    def prepare(self, train: Iterable[Batch]) -> None:
        """Learn the inputs' scales from the training rows, before the first epoch."""
        if not self.config.standardise:
            return
        moments: dict[str, Moments] = {}
        for name, scaler in self.scalers.items():
            assert isinstance(scaler, Standardiser)
            moments[name] = Moments(tuple(scaler.mean.shape))
        for batch in train:
            if "visual" in moments:
                moments["visual"].add(batch.visual[batch.has_visual])
            if "audio" in moments:
                moments["audio"].add(batch.audio[batch.has_audio])
        for name, scaler in self.scalers.items():
            assert isinstance(scaler, Standardiser)
            moments[name].store(scaler)

    def _vector(
        self, name: str, value: Tensor, has: Tensor, branch: Callable[[Tensor], Tensor]
    ) -> Tensor:
        """Branch output (B, branch_width), or its stand-in for rows that have no such feature."""
        has = self._hide(has)
        if name in self.scalers:
            value = self.scalers[name](value)
        # A scaler turns the zeros of an absent row into something; absent must stay neutral.
        value = value * has.view(-1, *(1,) * (value.ndim - 1)).to(value.dtype)
        vector = branch(value)
        if name not in self.missing:
            return vector
        return torch.where(has.unsqueeze(1), vector, self.missing[name])

    def _hide(self, has: Tensor) -> Tensor:
        # Alone, a modality is needed, so its token would never be used.
        if not self.training or self.config.modality_drop == 0 or self.config.modalities != "both":
            return has
        return has & (torch.rand(has.shape, device=has.device) >= self.config.modality_drop)


def describe_fused(config: FusedConfig) -> dict[str, object]:
    """Trainable parameters in all and by part, counted on the meta device: no memory, no time.

    `published` adds the deep head that the paper counts but does not use.
    """
    with torch.device("meta"):
        network = FusedRegressor(config)
        unused = _count(deep_head(2 * config.branch_width)) if config.head == "shallow" else 0
    parts = {name: _count(part) for name, part in network.named_children() if name != "scalers"}
    parts["missing_tokens"] = parts.pop("missing")
    total = sum(parts.values())
    return {
        "total": total,
        "parts": parts,
        "unused_deep_head": unused,
        "published": total + unused,
    }


def _count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())
