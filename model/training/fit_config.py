"""How a network is trained by gradient: every setting, and which values it may have."""

import math
from dataclasses import dataclass
from typing import Literal

import torch

from model.errors import BadSetting
from model.training.losses import LOSSES, Loss
from model.training.world import Device, Precision

OPTIMISERS: dict[str, type[torch.optim.Adam]] = {
    "adam": torch.optim.Adam,
    "adamw": torch.optim.AdamW,
}
CHOICES: dict[str, tuple[str, ...]] = {
    "optimiser": tuple(OPTIMISERS),
    "loss": LOSSES,
    "keep": ("best", "last"),
    "decay": ("none", "cosine"),
    "lr_every": ("step", "epoch"),
    "precision": ("auto", "fp32", "bf16"),
    "device": ("auto", "cpu", "cuda"),
}


@dataclass(frozen=True)
class FitConfig:
    """How to train. The defaults are those of `registry.PRESETS["fused"]`, which learn.

    epochs: at most. patience: epochs without a better validation loss before stopping (None:
    never). max_minutes: of wall time for one call, checked after each epoch (None: no limit).
    keep: whose weights the network has in the end.
    loss: cross_entropy is a classifier's. tau: of pinball, the share of rows below a prediction.
    clip_norm: of the whole gradient (None: not cut). warmup_epochs: linear rise to `lr` from
    `warmup_from` times it. decay: "cosine" falls to zero at the last epoch, "none" stays.
    lr_every: whether the rate moves with each step, or stays for an epoch.
    precision: of the products, the weights are always fp32; "auto" is bf16 where the device
    computes in it, and then other numbers on another machine. device: where; changes nothing but
    rounding.
    """

    epochs: int = 20
    batch: int = 8
    lr: float = 3e-5  # measured on 50 videos: from 3e-4 on it learns the rows, not the rule
    weight_decay: float = 0.05
    optimiser: Literal["adam", "adamw"] = "adamw"
    loss: Loss = "huber"
    tau: float = 0.5
    seed: int = 0
    patience: int | None = 6
    max_minutes: float | None = None
    keep: Literal["best", "last"] = "best"
    clip_norm: float | None = 1.0
    warmup_epochs: float = 2.0
    warmup_from: float = 0.0
    decay: Literal["none", "cosine"] = "cosine"
    lr_every: Literal["step", "epoch"] = "step"
    precision: Precision = "fp32"
    device: Device = "auto"

    def __post_init__(self) -> None:
        if self.epochs < 1 or self.batch < 1:
            raise BadSetting(f"epochs {self.epochs} and batch {self.batch} must be 1 or more")
        if not (0 < self.lr < math.inf and 0 <= self.weight_decay < math.inf):
            raise BadSetting(
                f"lr {self.lr} must be a number above 0, weight_decay {self.weight_decay} one of 0 "
                "or more"
            )
        if self.max_minutes is not None and not self.max_minutes >= 0:
            raise BadSetting(f"max_minutes {self.max_minutes} must be 0 or more, or None")
        if self.patience is not None and self.patience < 1:
            raise BadSetting(f"patience {self.patience} must be 1 or more, or None")
        if not (0 < self.tau < 1 and 0 <= self.warmup_from <= 1 and self.warmup_epochs >= 0):
            raise BadSetting(
                f"tau {self.tau} must be in (0, 1), warmup_from {self.warmup_from} in [0, 1], "
                f"warmup_epochs {self.warmup_epochs} 0 or more"
            )
        if self.clip_norm is not None and not self.clip_norm > 0:
            raise BadSetting(f"clip_norm {self.clip_norm} must be above 0, or None")
        for name, choices in CHOICES.items():
            value = getattr(self, name)
            if value not in choices:
                raise BadSetting(f"{name} {value!r} must be one of {', '.join(choices)}")

    def lr_at(self, epoch: float) -> float:
        """Learning rate after `epoch` epochs, a fraction counts the steps inside one."""
        rise = 1.0
        if self.warmup_epochs > 0:
            begun = min(1.0, epoch / self.warmup_epochs)
            rise = self.warmup_from + (1 - self.warmup_from) * begun
        if self.decay == "none":
            return self.lr * rise
        return self.lr * rise * 0.5 * (1 + math.cos(math.pi * min(1.0, epoch / self.epochs)))
