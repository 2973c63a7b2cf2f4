"""The paper's Table I: which models it is made of, its rows, and what its page shows of them."""

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from catalog.verdict import LEAST_GAIN, Paired, verdict_of
from model.errors import BadSetting
from model.evaluation.metrics import CONSTANT_NAMES, ERRORS

Group = Literal["constant", "paper", "classifier", "beyond"]
PART = "holdout"
INTERVALS = (*ERRORS, "spearman")
SHARES = ("quartile_accuracy", "balanced_accuracy", "majority_accuracy")
MOST_POINTS = 2_000  # more are one blot


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


def verdicts(
    metrics: Mapping[str, float], constant: str, least_gain: float = LEAST_GAIN
) -> dict[str, str]:
    """What each error allows to say beside a constant, by verdict_of; nothing without interval."""
    found: dict[str, str] = {}
    for metric in ERRORS:
        low = metrics.get(f"{metric}_diff.{constant}.low")
        high = metrics.get(f"{metric}_diff.{constant}.high")
        if low is None or high is None:
            continue
        # A constant beside itself: not a row differs, which is more than no evidence.
        is_same = low == high == 0
        pair = Paired(metrics.get(metric), metrics.get(f"{metric}.{constant}"), low, high)
        said = verdict_of(
            [pair],
            n=metrics["n"],
            part=PART,
            spearman_low=metrics.get("spearman.low"),
            least_gain=least_gain,
        )
        found[metric] = "the same" if is_same else said
    return found


def table_row(result: Result, least_gain: float = LEAST_GAIN) -> dict[str, Any]:
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
    for name in (*SHARES, "coverage_80"):
        row[name] = metrics.get(name)
    for constant in CONSTANT_NAMES:
        said = verdicts(metrics, constant, least_gain)
        for metric in ERRORS:
            row[f"{metric}_than_{constant}"] = said.get(metric)
    mse, mae = planned.published or (None, None)
    return row | {
        "published_mse_million_k2": mse,
        "published_mae_k": mae,
        "published_accuracy": planned.published_accuracy,
        "error": result.error,
    }


def csv_text(results: Sequence[Result], least_gain: float = LEAST_GAIN) -> str:
    """table1.csv: a line for each row, empty where a number is not defined."""
    rows = [table_row(result, least_gain) for result in results]
    out = io.StringIO()
    writer = csv.DictWriter(out, list(rows[0]) if rows else [], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue()


def page_values(results: Sequence[Result], least_gain: float = LEAST_GAIN) -> dict[str, Any]:
    """What the page shows, as plain rows for catalog/web/templates/experiment.html."""
    pairs: dict[str, list[tuple[str, Sequence[tuple[float, float]]]]] = {}
    for result in results:
        if result.planned.pair is not None and result.error is None:
            # Every k-th, so that a large part is not shown by its oldest videos alone.
            step = -(-len(result.predictions) // MOST_POINTS) or 1
            drawn = (result.planned.label, result.predictions[::step])
            pairs.setdefault(result.planned.pair, []).append(drawn)
    losses = []
    for result in results:
        by_part: dict[str, list[tuple[int, float]]] = {}
        for part, epoch, loss in result.losses:
            by_part.setdefault(part, []).append((epoch, loss))
        if by_part:
            losses.append((result.planned.label, sorted(by_part.items())))
    classifiers = [result for result in results if result.planned.group == "classifier"]
    confusions = [(result.planned.label, confusion_of(result.metrics)) for result in classifiers]
    return {
        "constants": CONSTANT_NAMES,
        "least_gain": least_gain,
        "rows": [_page_row(result, least_gain) for result in results],
        "failed": [result.planned.name for result in results if result.error is not None],
        "pairs": pairs,
        "losses": losses,
        "confusions": [(label, counts) for label, counts in confusions if counts is not None],
    }


def _page_row(result: Result, least_gain: float) -> dict[str, Any]:
    planned, metrics = result.planned, result.metrics
    # The counts of a classifier are only the medians of the quarters that it names.
    of_counts = {} if planned.group == "classifier" else metrics
    return {
        "name": planned.name,
        "label": planned.label,
        "error": result.error,
        "version": result.version,
        "status": result.status,
        "n": int(metrics["n"]) if "n" in metrics else None,
        "errors": [
            _ends(of_counts, "mse_k2", scale=1e-6),
            *(_ends(of_counts, metric) for metric in ("mae_k", "log_mae", "spearman")),
        ],
        "shares": [metrics.get(name) for name in SHARES],
        "verdicts": [verdicts(of_counts, constant, least_gain) for constant in CONSTANT_NAMES],
        "published": planned.published or (None, None),
        "published_accuracy": planned.published_accuracy,
    }


def _ends(
    metrics: Mapping[str, float], metric: str, scale: float = 1.0
) -> tuple[float | None, float | None, float | None]:
    value, low, high = (
        None if (found := metrics.get(name)) is None else found * scale
        for name in (metric, f"{metric}.low", f"{metric}.high")
    )
    return value, low, high


def confusion_of(metrics: Mapping[str, float]) -> list[list[int]] | None:
    """Counts by actual and predicted quarter, 4 x 4; None where they were not recorded."""
    counts = [[metrics.get(f"confusion.{i}.{j}") for j in range(4)] for i in range(4)]
    if any(count is None for line in counts for count in line):
        return None
    return [[int(count or 0) for count in line] for line in counts]
