"""The commands that set models side by side and look into them: compare, explain, experiment."""

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from catalog.console import App, dry_run_option, emit, emit_outcome, json_option, pass_app, table
from model.commands.choices import feature_set_of, find_model_named, store_of

if TYPE_CHECKING:
    from catalog.facts import ModelFacts
    from catalog.work.runs import Outcome
    from model.evaluation.metrics import Interval
    from model.steps.compare import ComparedModels
    from model.steps.explain import Explained
    from model.steps.train import TrainRequest


@click.group()
def experiment() -> None:
    """Several trainings that make one table."""


@experiment.command("paper")
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder for the table and the page. Default: runs/<run> in the data folder.",
)
@click.option("--split", "split_name", help="Default: the newest.")
@click.option("--epochs", type=click.IntRange(min=1), help="At most so many for each network.")
@click.option("--only", multiple=True, metavar="ROW", help="Only this row; repeatable.")
@click.option(
    "--max-minutes", type=click.FloatRange(min=0, min_open=True), help="For each network."
)
@click.option("--seed", type=int, help="Default: the setting of train.")
@json_option
@dry_run_option
@pass_app
def experiment_paper(
    app: App,
    out: Path | None,
    split_name: str | None,
    epochs: int | None,
    only: tuple[str, ...],
    max_minutes: float | None,
    seed: int | None,
    as_json: bool,
    dry_run: bool,
) -> None:
    """Train all models of the paper's Table I, and honest ones beside them; write the table.

    A model that was trained on the same split, features and settings before is not trained again,
    so a stopped experiment goes on where it was. A model that cannot be trained costs its row.
    """
    from catalog.console import progress
    from model.experiment.table import choose
    from model.settings import ScoreConfig, TrainConfig
    from model.steps.experiment import ExperimentRequest, run_experiment
    from model.steps.score import score
    from model.steps.train import train

    rows = choose(only)
    if dry_run:
        columns = ["row", "preset", "objective", "loss"]
        cells = [[r.name, r.preset, r.objective or "regression", r.loss] for r in rows]
        listed = [dict(zip(columns, cell, strict=True)) for cell in cells]
        emit({"dry_run": True, "rows": listed}, as_json=as_json, text=table(columns, cells))
        return

    def train_one(request: "TrainRequest", parent_id: int) -> "tuple[Outcome, ModelFacts]":
        place: dict[str, Any] = {"store": store_of(app), "data": app.settings.data_folder}
        with progress(f"train {request.name}", quiet=as_json) as bar:
            outcome, model = train(
                app.catalog,
                request,
                lambda kind: feature_set_of(app, kind),
                progress=bar,
                parent_id=parent_id,
                **place,
            )
        # The figure of predicted against shown needs each prediction, not only their errors.
        with progress(f"score {request.name}", quiet=as_json) as bar:
            score(
                app.catalog,
                model,
                device=app.settings.of(ScoreConfig).device,
                parts=["holdout"],
                progress=bar,
                parent_id=parent_id,
                **place,
            )
        return outcome, model

    settings = app.settings_with(train={"seed": seed}).of(TrainConfig)
    outcome, folder = run_experiment(
        app.catalog,
        ExperimentRequest(
            rows=rows,
            split=split_name,
            seed=settings.seed,
            machine={"device": settings.device, "precision": settings.precision},
            epochs=epochs,
            max_minutes=max_minutes,
            out=out,
            least_gain=app.settings.verdict.least_gain,
        ),
        train_one,
        data=app.settings.data_folder,
    )
    emit_outcome(outcome, as_json=as_json, extra={"folder": str(folder)})


@click.command()
@click.option("--model", "model_name", help="NAME, NAME:VERSION or NAME@ALIAS.")
@click.option(
    "--part",
    type=click.Choice(["val", "holdout", "train"]),
    default="holdout",
    show_default=True,
    help="Of the model's split.",
)
@click.option(
    "--videos",
    default=2_000,
    show_default=True,
    type=click.IntRange(min=2),
    help="At most so many.",
)
@click.option("--seed", default=0, show_default=True)
@json_option
@dry_run_option
@pass_app
def explain(
    app: App,
    model_name: str | None,
    part: str,
    videos: int,
    seed: int,
    as_json: bool,
    dry_run: bool,
) -> None:
    """Say what drives a model's forecasts: blocks of inputs, hashtags, hours of posting.

    It is about the model and not about the world: a hashtag that raises a forecast need not raise
    views. For models that read blocks: modern, ridge, boosted.
    """
    from catalog.console import progress
    from model.settings import ScoreConfig
    from model.steps.explain import explain as explain_step
    from model.steps.score import load_model, reader_of

    model = find_model_named(app, model_name)
    named = {"model": model.name, "version": model.version}
    if dry_run:
        emit({"dry_run": True, **named, "part": part, "at_most": videos}, as_json=as_json)
        return
    with progress("explain", quiet=as_json) as bar:
        outcome, found = explain_step(
            app.catalog,
            model,
            load_model(app.settings.data_folder, model, app.settings.of(ScoreConfig).device),
            reader_of(model, store_of(app)),
            part=part,
            at_most=videos,
            seed=seed,
            progress=bar,
        )
    payload: dict[str, Any] = {**named, "run_id": outcome.run_id, **asdict(found)}
    emit(payload, as_json=as_json, text=_text(f"{model.name}:{model.version}", found))


def _text(name: str, found: "Explained") -> str:
    importance = [
        [
            one.block,
            f"{one.present:.0%}",
            f"{one.log_mae:+.3f}",
            _low_high(one.log_mae_interval, "+.3f"),
            "–" if one.spearman is None else f"{one.spearman:+.3f}",
        ]
        for one in found.importances
    ]
    columns = ["block", "present", "log-MAE without it", "95 %", "Spearman lost"]
    title = f"{name} on {found.n} {found.part} videos: how much worse each block's absence makes it"
    parts = [table(columns, importance, title=title)]
    for what, effects in (("hashtag", found.hashtags), ("hour (UTC)", found.hours)):
        if effects:
            cells = [
                [one.what, one.n, f"x{one.factor:.2f}", _low_high(one.interval, ".2f")]
                for one in effects
            ]
            parts.append(table([what, "videos", "factor on the forecast", "95 %"], cells))
    return "\n".join(parts)


def _low_high(interval: "Interval", form: str) -> str:
    low, high = interval
    return f"{low:{form}} … {high:{form}}"


COMPARABLE = ("holdout", "val", "new", "train")
#: What a part other than the held-out one allows to conclude.
CAUTIONS = {
    "train": "in sample: the models were trained on these videos, so there is no verdict",
    "val": "these videos decided when training stopped, which favours what was trained longest",
}


@click.command()
@click.argument("models", metavar="MODEL MODEL...", nargs=-1, required=True)
@click.option("--part", type=click.Choice(COMPARABLE), default="holdout", show_default=True)
@json_option
@pass_app
def compare(app: App, models: tuple[str, ...], part: str, as_json: bool) -> None:
    """Compare stored predictions of MODELs on the same videos, with paired intervals.

    MODEL is NAME, NAME:VERSION or NAME@ALIAS. "better" and "worse" are said of the first of each
    pair, and only where the 95 % interval of the paired difference, drawn by author, excludes zero
    and the difference is at least 1 % (verdict.least_gain) of the larger error; better than a
    constant is only what also ranks videos, with a Spearman interval above 0.
    """
    from model.steps.compare import compare as compare_step

    if len(models) < 2:
        raise click.UsageError("name two or more models to compare")
    found = compare_step(
        app.catalog,
        [find_model_named(app, name) for name in models],
        part=part,
        least_gain=app.settings.verdict.least_gain,
    )
    payload = {
        "part": found.part,
        "n": found.comparison.n,
        "left_out": dict(found.n_left_out),
        "other_count": found.n_other_count,
        "constants_of": found.constants_of,
        "forecasts": dict(found.forecasts),
        "metrics": {name: dict(values) for name, values in found.comparison.metrics.items()},
        "differences": [asdict(difference) for difference in found.comparison.differences],
        "caution": CAUTIONS.get(part),
    }
    emit(payload, as_json=as_json, text=_shown(found))


def _shown(found: "ComparedModels") -> str:
    comparison = found.comparison
    names = ("mse_k2", "mae_k", "log_mae", "spearman")
    measured = [
        [name, *(_with_ends(values, metric) for metric in names)]
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
            *_forecasts(found),
            table(["model", *names], measured),
            table(columns, differences) if differences else "one video gives no interval",
            *notes,
        ]
    )


def _forecasts(found: "ComparedModels") -> list[str]:
    """What is forecast: once where it is the same."""
    said = found.forecasts
    if len(set(said.values())) == 1:
        return [f"all forecast the {next(iter(said.values()))}"]
    return [f"{name} forecasts the {what}" for name, what in said.items()]


def _with_ends(values: Mapping[str, float], metric: str) -> str:
    if metric not in values:
        return "–"
    shown = _number(values[metric])
    if f"{metric}.low" in values:
        low, high = values[f"{metric}.low"], values[f"{metric}.high"]
        shown += f" [{_number(low)}, {_number(high)}]"
    return shown


def _number(value: float) -> str:
    return f"{value:,.4g}" if abs(value) < 1000 else f"{value:,.0f}"
