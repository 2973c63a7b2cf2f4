"""The training loop: epochs up to a limit, the best one kept, one file to go on from."""

import json
import logging
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final, Literal, Protocol

import torch
from torch import Tensor, nn

from features.errors import FeatureError
from features.weights import load_weights, map_tensors, save_weights
from model.errors import BadCheckpoint, NotFinite
from model.training.world import World

log = logging.getLogger(__name__)

KIND: Final = "training_state"
OLD_KIND: Final = "pretraining"  # what an unfinished autoencoder was kept as before
Stopped = Literal["epochs", "patience", "minutes"]


class Passes(Protocol):
    """The two passes over the rows that make an epoch: what one training has unlike another."""

    def learn(self, epoch: int) -> float:
        """Go through the training rows, a step for each batch; mean loss. Epochs count from 1.

        All that is drawn at random must follow from the epoch's number, or a training that goes on
        would draw otherwise than one that was never stopped.
        """

    def judge(self) -> float | None:
        """Mean loss on rows that nothing is learned from; None where there are none."""


@dataclass(frozen=True)
class Limits:
    """When to stop. epochs: at most. patience: epochs without a better loss (None: never).

    max_minutes: of wall time for one call, checked after each epoch (None: no limit).
    """

    epochs: int
    patience: int | None = None
    max_minutes: float | None = None


@dataclass(frozen=True)
class StateFile:
    """Where a training is kept after each epoch, and what it must have been made with.

    set_up: a JSON document; a state with another one is another training's.
    """

    path: Path
    set_up: Mapping[str, Any]


@dataclass(frozen=True)
class EpochReport:
    """Losses of one epoch on the target's scale; val_loss is None where nothing validates."""

    epoch: int
    train_loss: float
    val_loss: float | None
    seconds: float = field(compare=False)

    @property
    def loss(self) -> float:
        """What decides which epoch is best."""
        return self.train_loss if self.val_loss is None else self.val_loss


def require_finite(loss: float, where: str, remedy: str = "a lower rate keeps it finite") -> float:
    """The loss, if it is a number; NotFinite names where it was not."""
    if not math.isfinite(loss):
        raise NotFinite(f"loss is {loss} in {where}; {remedy}")
    return loss


class Training:
    """A network on its way: the curve so far, and the weights of its best epoch.

    best: in memory, or mapped from the state's file where there is one. In a world of several
    processes each runs the loop, and only the first writes and tells.
    """

    def __init__(
        self,
        network: nn.Module,
        optimiser: torch.optim.Optimizer,
        limits: Limits,
        *,
        state_file: StateFile | None = None,
        world: World | None = None,
    ) -> None:
        self.network = network
        self.optimiser = optimiser
        self.limits = limits
        self.curve: list[EpochReport] = []
        self.best_epoch = 0
        self.best: dict[str, Tensor] = {}
        self._state_file = state_file
        self._world = world or World()

    @property
    def best_loss(self) -> float:
        """Loss of the best epoch so far, the first of equals; infinite before the first."""
        return self.curve[self.best_epoch - 1].loss if self.best_epoch else math.inf

    def resume(self) -> bool:
        """Go on from where the state's file is; False where there is none of this training.

        A state of another set-up is told of and written over. Raises BadCheckpoint where the file
        is no state at all.
        """
        found = self._state_file is not None and self._read(self._state_file)
        self._world.wait()  # all have read the file before one writes the next
        return found

    def run(
        self, passes: Passes, on_epoch: Callable[[EpochReport], None] = lambda _report: None
    ) -> Stopped:
        """Go through epochs until a limit; say which. Leaves the last epoch's weights.

        on_epoch hears of each new epoch when it is safe in the file. Raises NotFinite: the file
        then has the last good epoch.
        """
        began = time.monotonic()
        while (stopped := self._stop(began)) is None:
            epoch = len(self.curve) + 1
            epoch_began = time.monotonic()
            train_loss = require_finite(passes.learn(epoch), f"epoch {epoch}")
            val_loss = passes.judge()
            if val_loss is not None:
                require_finite(val_loss, f"validation of epoch {epoch}")
            report = EpochReport(epoch, train_loss, val_loss, time.monotonic() - epoch_began)
            log.info("epoch %s: train %s, val %s", epoch, train_loss, val_loss)
            if report.loss < self.best_loss:
                self.best_epoch = epoch
            self.curve.append(report)
            self._keep()
            if self._world.rank == 0:
                on_epoch(report)
        return stopped

    def finish(self, *, keep: Literal["best", "last"] = "best") -> None:
        """Leave the network with those weights, in eval mode, on the CPU."""
        # Before the best weights come in: of a large network these three do not fit side by side.
        self.optimiser.zero_grad(set_to_none=True)
        self.optimiser.state.clear()
        if keep == "best" and not self._is_last_best:
            self.network.load_state_dict(self.best)
        self.network.cpu().eval()

    @property
    def _is_last_best(self) -> bool:
        return self.best_epoch == len(self.curve)

    def _stop(self, began: float) -> Stopped | None:
        done, limits = len(self.curve), self.limits
        if done >= limits.epochs:
            return "epochs"
        if done == 0:
            return None
        if limits.patience is not None and done - self.best_epoch >= limits.patience:
            return "patience"
        if limits.max_minutes is not None and time.monotonic() - began >= 60 * limits.max_minutes:
            return "minutes"
        return None

    def _keep(self) -> None:
        if self._state_file is not None and self._world.rank == 0:
            self._write(self._state_file)
        elif self._is_last_best:
            self.best = {
                name: value.detach().cpu().clone()
                for name, value in self.network.state_dict().items()
            }

    def _write(self, file: StateFile) -> None:
        """Write everything the next epoch depends on, in one file, whole or not at all.

        Copies nothing in memory: the best weights go from file to file.
        """
        tensors = {f"last.{name}": value for name, value in self.network.state_dict().items()}
        if not self._is_last_best:
            tensors |= {f"best.{name}": value for name, value in self.best.items()}
        for index, slots in self.optimiser.state_dict()["state"].items():
            tensors |= {f"optimiser.{index}.{name}": value for name, value in slots.items()}
        extra = {
            "curve": [asdict(report) for report in self.curve],
            "best_epoch": self.best_epoch,
            "set_up": file.set_up,
        }
        save_weights(file.path, KIND, {}, tensors, extra)
        self.best = self._best_of(map_tensors(file.path))

    def _read(self, file: StateFile) -> bool:
        if not file.path.exists():
            return False
        try:
            held = load_weights(file.path)
        except FeatureError as error:
            raise BadCheckpoint(f"{file.path} holds no training state: {error}") from error
        if held.kind not in (KIND, OLD_KIND):
            raise BadCheckpoint(f"{file.path} holds no training state but a {held.kind}; move it")
        plain = json.loads(json.dumps(file.set_up))  # tuples become lists
        if held.kind == OLD_KIND or held.extra.get("set_up") != plain:
            log.warning(
                "%s is of another training or an older viewcast: this one begins anew", file.path
            )
            return False
        self.curve = [EpochReport(**report) for report in held.extra["curve"]]
        self.best_epoch = int(held.extra["best_epoch"])
        self.best = self._best_of(held.tensors)
        self.network.load_state_dict(_below(held.tensors, "last"))
        slots: dict[int, dict[str, Tensor]] = {}
        for name, value in _below(held.tensors, "optimiser").items():
            index, slot = name.split(".", 1)
            # Copied: the optimiser changes them where they are, and this file will be replaced.
            slots.setdefault(int(index), {})[slot] = value.clone()
        groups = self.optimiser.state_dict()["param_groups"]
        self.optimiser.load_state_dict({"state": slots, "param_groups": groups})
        return True

    def _best_of(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return _below(tensors, "last" if self._is_last_best else "best")


def _below(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {
        name.removeprefix(f"{prefix}."): value
        for name, value in tensors.items()
        if name.startswith(f"{prefix}.")
    }
