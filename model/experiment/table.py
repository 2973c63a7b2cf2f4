"""The paper's Table I, and what belongs beside it: which models it is made of, and its rows."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from catalog.facts import verdict_of
from model.errors import BadSetting
from model.evaluation.metrics import CONSTANT_NAMES, ERRORS

Group = Literal["constant", "paper", "classifier", "beyond"]
PART = "holdout"
INTERVALS = (*ERRORS, "spearman")


@dataclass(frozen=True)
class Planned:
    """One model of the table: what to train, and what the paper printed for it.

    name: of the row and of the model it registers. published: MSE in million k² and MAE in k on
    the paper's own 100 videos; published_accuracy: a classifier's. None: not in the paper.
    pair: rows of one pair are one network trained with two losses, drawn beside each other.
    """

    name: str
    label: str
    group: Group
    preset: str
    loss: str | None = None
    objective: str | None = None
    target: str | None = None
    published: tuple[float, float] | None = None
    published_accuracy: float | None = None
    pair: str | None = None


TABLE: tuple[Planned, ...] = (
    Planned("mean", "constant: train mean", "constant", "mean", published=(73.56, 6179)),
    Planned("median", "constant: train median", "constant", "median", published=(81.2, 4729)),
    Planned("geometric_mean", "constant: geometric mean", "constant", "geometric_mean"),
    Planned(
        "paper-swin",
        "Swin3D, MAE loss",
        "paper",
        "paper-swin",
        loss="mae",
        published=(83.96, 4733),
        pair="Swin3D",
    ),
    Planned("paper-swin-mse", "Swin3D, MSE loss", "paper", "paper-swin", loss="mse", pair="Swin3D"),
    Planned(
        "paper-swin-scaled",
        "Swin3D, scaled target",
        "paper",
        "paper-swin-scaled",
        published=(70.2026, 5390),
    ),
    Planned(
        "paper-cnn3d",
        "CNN3D, MAE loss",
        "paper",
        "paper-cnn3d",
        loss="mae",
        published=(82.97, 4870),
        pair="CNN3D",
    ),
    Planned("paper-cnn3d-mse", "CNN3D, MSE loss", "paper", "paper-cnn3d", loss="mse", pair="CNN3D"),
    Planned(
        "paper",
        "fused, MAE loss",
        "paper",
        "paper",
        loss="mae",
        published=(72.96, 4891),
        pair="fused",
    ),
    Planned("paper-mse", "fused, MSE loss", "paper", "paper", loss="mse", pair="fused"),
    Planned(
        "paper-swin-quartile",
        "Swin3D, quarters",
        "classifier",
        "paper-swin",
        objective="quartile",
        published_accuracy=0.27,
    ),
    Planned(
        "paper-cnn3d-quartile",
        "CNN3D, quarters",
        "classifier",
        "paper-cnn3d",
        objective="quartile",
        published_accuracy=0.30,
    ),
    Planned(
        "paper-quartile",
        "fused, quarters",
        "classifier",
        "paper",
        objective="quartile",
        published_accuracy=0.23,
    ),
    Planned("hashtag_mean", "mean of its hashtags", "beyond", "hashtag_mean"),
    Planned("author_mean", "mean of its author", "beyond", "author_mean"),
    Planned("ridge", "ridge", "beyond", "ridge"),
    Planned("boosted", "boosted trees", "beyond", "boosted"),
    Planned("fused", "fused, settings that train", "beyond", "fused"),
    Planned("modern", "modern", "beyond", "modern"),
)


@dataclass(frozen=True)
class Result:
    """What became of one row: the metrics of the held-out part, or why there are none.

    version, train_run_id: of the model; trained: False where it was there already.
    predictions: (shown, predicted) thousands of views. losses: (part, epoch, loss).
    """

    planned: Planned
    error: str | None = None
    version: int | None = None
    train_run_id: int | None = None
    trained: bool = False
    metrics: Mapping[str, float] = field(default_factory=dict)
    predictions: Sequence[tuple[float, float]] = ()
    losses: Sequence[tuple[str, int, float]] = ()

    @property
    def status(self) -> str:
        """failed, trained, or kept (from an earlier time)."""
        return "failed" if self.error else "trained" if self.trained else "kept"


def choose(names: Iterable[str]) -> tuple[Planned, ...]:
    """The rows of these names in the table's order, all for none. BadSetting for an unknown one."""
    wanted = set(names)
    known = {planned.name for planned in TABLE}
    if unknown := sorted(wanted - known):
        rows = ", ".join(planned.name for planned in TABLE)
        raise BadSetting(f"{unknown[0]!r} is no row of the table; there are: {rows}")
    return tuple(planned for planned in TABLE if not wanted or planned.name in wanted)


def verdicts(metrics: Mapping[str, float], constant: str) -> dict[str, str]:
    """What each error's paired interval allows to say beside a constant; nothing without one."""
    found: dict[str, str] = {}
    for metric in ERRORS:
        low = metrics.get(f"{metric}_diff.{constant}.low")
        high = metrics.get(f"{metric}_diff.{constant}.high")
        if low is None or high is None:
            continue
        # A constant beside itself: not a row differs, which is more than no evidence.
        is_same = low == high == 0
        said = verdict_of([(low, high)], n=metrics["n"], part=PART)
        found[metric] = "the same" if is_same else said
    return found


def table_row(result: Result) -> dict[str, Any]:
    """One row of table1.csv: None where a number is not defined."""
    planned, metrics = result.planned, result.metrics
    row: dict[str, Any] = {
        "row": planned.name,
        "label": planned.label,
        "group": planned.group,
        "preset": planned.preset,
        "loss": planned.loss,
        "objective": planned.objective or "regression",
        "status": result.status,
        "version": result.version,
        "train_run_id": result.train_run_id,
        "n": int(metrics["n"]) if "n" in metrics else None,
    }
    for metric in INTERVALS:
        for name in (metric, f"{metric}.low", f"{metric}.high"):
            row[name] = metrics.get(name)
    for name in ("quartile_accuracy", "balanced_accuracy", "majority_accuracy", "coverage_80"):
        row[name] = metrics.get(name)
    for constant in CONSTANT_NAMES:
        said = verdicts(metrics, constant)
        for metric in ERRORS:
            row[f"{metric}_than_{constant}"] = said.get(metric)
    mse, mae = planned.published or (None, None)
    return row | {
        "published_mse_million_k2": mse,
        "published_mae_k": mae,
        "published_accuracy": planned.published_accuracy,
        "error": result.error,
    }


def confusion_of(metrics: Mapping[str, float]) -> list[list[int]] | None:
    """Counts by actual and predicted quarter, 4 x 4; None where they were not recorded."""
    counts = [[metrics.get(f"confusion.{i}.{j}") for j in range(4)] for i in range(4)]
    if any(count is None for line in counts for count in line):
        return None
    return [[int(count or 0) for count in line] for line in counts]
