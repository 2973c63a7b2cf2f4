"""The command that trains the paper's whole Table I: experiment paper."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from catalog.console import App, dry_run_option, emit, emit_outcome, json_option, pass_app, table
from model.commands.choices import feature_set_of, store_of

if TYPE_CHECKING:
    from catalog.facts import ModelFacts
    from catalog.runs import Outcome
    from model.steps import TrainRequest


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
    from catalog.progress import progress
    from model import steps
    from model.experiment.table import choose

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
            outcome, model = steps.train(
                app.catalog,
                request,
                lambda kind: feature_set_of(app, kind),
                progress=bar,
                parent_id=parent_id,
                **place,
            )
        # The figure of predicted against shown needs each prediction, not only their errors.
        with progress(f"score {request.name}", quiet=as_json) as bar:
            steps.score(
                app.catalog, model, parts=["holdout"], progress=bar, parent_id=parent_id, **place
            )
        return outcome, model

    settings = app.settings.train
    outcome, folder = steps.run_experiment(
        app.catalog,
        steps.ExperimentRequest(
            rows=rows,
            split=split_name,
            seed=settings.seed if seed is None else seed,
            machine={"device": settings.device, "precision": settings.precision},
            epochs=epochs,
            max_minutes=max_minutes,
            out=out,
        ),
        train_one,
        data=app.settings.data_folder,
    )
    emit_outcome(outcome, as_json=as_json, extra={"folder": str(folder)})
