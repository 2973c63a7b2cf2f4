"""The settings of models: one frozen class per section, with its one set of defaults.

Nothing heavy is imported here, so that `--help` and `config show` stay quick.
"""

from collections.abc import Mapping
from typing import Final, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from features.settings import STAGE_DEVICE, STRICT
from model.split import SplitConfig

Precision = Literal["auto", "fp32", "bf16"]


@dataclass(frozen=True, config=STRICT)
class PretrainConfig:
    """How the autoencoder is trained. The sizes and rates are the paper's (Table II).

    batch: clips per step, of all processes together. patience: stop after so many epochs without
    a better validation loss; None: never (the paper's way). normalised: pixels of 0..1. depth,
    depth_frames: how clips of different length become one batch, see `features.video.convlstm`.
    precision: of the convolutions, the weights are always fp32; "auto" is bf16 where the device
    computes in it. device: where; changes nothing but rounding.
    """

    hidden: int = Field(default=64, ge=1)
    epochs: int = Field(default=200, ge=1)
    batch: int = Field(default=4, ge=1)
    lr: float = Field(default=1e-4, gt=0)
    patience: int | None = Field(default=20, ge=1)
    seed: int = 0
    normalised: bool = Field(default=False, description="pixels as 0..1; the paper: 0..255")
    depth: Literal["longest", "fixed", "pooled"] = Field(
        default="longest", description="how clips of different length become one batch"
    )
    depth_frames: int = Field(default=16, ge=1, description="of fixed and pooled")
    precision: Precision = Field(
        default="auto", description="auto: bf16 where the machine computes in it"
    )
    device: str = Field(default="", pattern=STAGE_DEVICE, description="empty: `device`")


@dataclass(frozen=True, config=STRICT)
class TrainConfig:
    """What `train` trains, and where, when no flag says otherwise; the rest is its preset's."""

    preset: str = "modern"
    seed: int = 0
    as_of: Literal["post", "crawl"] = Field(
        default="post",
        description="post: of account and sound what was seen before the post; crawl: or after it",
    )
    device: str = Field(default="", pattern=STAGE_DEVICE, description="empty: `device`")
    precision: Precision = Field(
        default="fp32", description="auto: bf16 where the machine computes in it"
    )


@dataclass(frozen=True, config=STRICT)
class ScoreConfig:
    """Which model scores, predicts and is explained: NAME (the newest), NAME:VERSION, NAME@ALIAS.

    device: of a network; what was solved (modern, ridge, …) computes on the processor.
    """

    model: str = "modern"
    device: str = Field(default="", pattern=STAGE_DEVICE, description="empty: `device`")


SECTIONS: Final[Mapping[str, type]] = {
    "pretrain": PretrainConfig,
    "split": SplitConfig,
    "train": TrainConfig,
    "score": ScoreConfig,
}
