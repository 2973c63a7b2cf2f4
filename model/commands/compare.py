"""The command that says which of several models is better: compare."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from catalog.console import App, emit, json_option, pass_app, table
from model.commands.choices import find_model_named

if TYPE_CHECKING:
    from model.steps import ComparedModels

PARTS = ("holdout", "val", "new", "train")
#: What a part other than the held-out one allows to conclude.
CAUTIONS = {
    "train": "in sample: the models were trained on these videos, so there is no verdict",
    "val": "these videos decided when training stopped, which favours what was trained longest",
}


@click.command()
@click.argument("models", metavar="MODEL MODEL...", nargs=-1, required=True)
@click.option("--part", type=click.Choice(PARTS), default="holdout", show_default=True)
@json_option
@pass_app
def compare(app: App, models: tuple[str, ...], part: str, as_json: bool) -> None:
    """Compare stored predictions of MODELs on the same videos, with paired intervals.

    MODEL is NAME, NAME:VERSION or NAME@ALIAS. "better" and "worse" are said of the first of each
    pair, and only where the 95 % interval of the paired difference excludes zero.
    """
    from model import steps

    if len(models) < 2:
        raise click.UsageError("name two or more models to compare")
    found = steps.compare(app.catalog, [find_model_named(app, name) for name in models], part=part)
    payload = {
        "part": found.part,
        "n": found.comparison.n,
        "left_out": dict(found.n_left_out),
        "other_count": found.n_other_count,
        "constants_of": found.constants_of,
        "metrics": {name: dict(values) for name, values in found.comparison.metrics.items()},
        "differences": [asdict(difference) for difference in found.comparison.differences],
        "caution": CAUTIONS.get(part),
    }
    emit(payload, as_json=as_json, text=_shown(found))


def _shown(found: "ComparedModels") -> str:
    comparison = found.comparison
    names = ("mse_k2", "mae_k", "log_mae", "spearman")
    measured = [
        [name, *(_ends(values, metric) for metric in names)]
        for name, values in comparison.metrics.items()
    ]
    differences = [
        [
            d.first,
            d.second,
            d.metric,
            _number(d.value),
            f"{_number(d.low)} to {_number(d.high)}",
            d.verdict,
        ]
        for d in comparison.differences
    ]
    columns = ["first", "second", "metric", "first - second", "95 % interval", "first is"]
    notes = [
        f"- left out, since another model has not predicted them: {n} videos of {name}"
        for name, n in found.n_left_out.items()
        if n
    ]
    if found.n_other_count:
        notes.append(f"- left out, since the models knew different counts: {found.n_other_count}")
    if found.part in CAUTIONS:
        notes.append(f"- {CAUTIONS[found.part]}")
    return "\n".join(
        [
            f"{comparison.n} {found.part} videos; constants of {found.constants_of}'s training",
            table(["model", *names], measured),
            table(columns, differences) if differences else "one video gives no interval",
            *notes,
        ]
    )


def _ends(values: Mapping[str, float], metric: str) -> str:
    if metric not in values:
        return "–"
    shown = _number(values[metric])
    if f"{metric}.low" in values:
        low, high = values[f"{metric}.low"], values[f"{metric}.high"]
        shown += f" [{_number(low)}, {_number(high)}]"
    return shown


def _number(value: float) -> str:
    return f"{value:,.4g}" if abs(value) < 1000 else f"{value:,.0f}"
