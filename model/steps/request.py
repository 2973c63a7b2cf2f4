"""What `train` is asked for: a preset, and what shall be otherwise."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from model.errors import BadSetting
from model.registry import Preset, find_preset, with_overrides

# A version's file is named after it, and NAME:VERSION and NAME@ALIAS have to be readable.
MODEL_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,79}")
MOST_SEED = 2**32 - 1  # what every library that draws here takes


@dataclass(frozen=True)
class TrainRequest:
    """What to train; what is None or empty stays as the preset has it.

    fit, network: single settings of the training and of the network. machine: where and in what
    to compute, for presets that are trained step by step. name: what the version is registered
    under; None: the preset's name and what differs from it.
    """

    preset: str
    seed: int = 0
    fit: Mapping[str, Any] = field(default_factory=dict)
    network: Mapping[str, Any] = field(default_factory=dict)
    machine: Mapping[str, Any] = field(default_factory=dict)
    objective: str | None = None
    target: str | None = None
    name: str | None = None
    split: str | None = None  # None: the newest
    shuffle_labels: bool = False  # of train and val: what is then learned is chance
    again: bool = False  # even if exactly this training has been done
    if_missing: bool = False  # only if the model has no version yet

    def params(self) -> dict[str, Any]:
        """What the run was asked for, without what was left to the preset."""
        given = {
            "target": self.target,
            "objective": self.objective,
            "name": self.name,
            "shuffle_labels": self.shuffle_labels or None,
        }
        return {
            "preset": self.preset,
            "seed": self.seed,
            **{name: value for name, value in given.items() if value is not None},
            **self.network,
            **self.fit,
        }

    def settled(self) -> Preset:
        """The preset with everything that is asked for otherwise.

        Raises UnknownKind, and BadSetting for a setting that it does not have, for a seed that
        cannot be drawn from, and for a name that no model can have.
        """
        preset = find_preset(self.preset)
        require_seed(self.seed)
        if self.name is not None and MODEL_NAME.fullmatch(self.name) is None:
            raise BadSetting(
                f"{self.name!r} is no name of a model: up to 80 letters (a to z), digits and any "
                "of . _ -, beginning with a letter or a digit"
            )
        machine = {} if preset.fit is None else self.machine
        return with_overrides(
            preset,
            fit={**machine, "seed": self.seed, **self.fit},
            network=self.network,
            objective=self.objective,
            target=self.target,
        )

    def model_name(self, preset: Preset) -> str:
        """Name that the versions are registered under: the preset's, and what differs from it."""
        if self.name is not None:
            return self.name
        changed = [
            self.target,
            None if preset.objective == "regression" else preset.objective,
            self.fit.get("loss"),
            self.network.get("modalities"),
            "shuffled" if self.shuffle_labels else None,
        ]
        return "-".join([preset.name, *(str(word) for word in changed if word is not None)])


def require_seed(seed: int) -> None:
    """Raise BadSetting for a seed that not every generator takes."""
    if not 0 <= seed <= MOST_SEED:
        raise BadSetting(f"seed {seed} must be from 0 to {MOST_SEED}")
