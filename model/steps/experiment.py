"""Train the whole of the paper's Table I, a model at a time, and write the table."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import torch

from catalog.ages import label_of
from catalog.errors import BadValue, NotFound
from catalog.facts import ModelFacts, forecast_of
from catalog.files import atomic_file
from catalog.read.lookup import (
    SplitRow,
    final_metrics,
    find_split_row,
    loss_points,
    newest_predictions,
)
from catalog.schema.session import Catalog
from catalog.verdict import LEAST_GAIN
from catalog.web.pages import render
from catalog.work.runs import FailureBudget, Outcome, RunInProgress, record_run
from features.device import resolve
from features.errors import FeatureError
from model.errors import ModelError
from model.experiment.table import (
    MOST_POINTS,
    PART,
    Planned,
    Result,
    csv_text,
    page_values,
    table_row,
)
from model.registry import find_preset
from model.steps.figures import run_folder
from model.steps.train import TrainRequest

TITLE = "The paper's Table I, on this catalog"
TABLE_FILE, PAGE_FILE = "table1.csv", "index.html"
#: What may keep one model from being trained, and says nothing of the others.
OF_ONE_ROW = (ModelError, FeatureError, NotFound, BadValue, MemoryError, torch.OutOfMemoryError)
NO_MEMORY = "can't allocate memory"

#: Trains what is asked for as a child of a run; gives the version that is there if there is one.
Train = Callable[[TrainRequest, int], tuple[Outcome, ModelFacts]]


@dataclass(frozen=True)
class ExperimentRequest:
    """Which rows to train, on which split, and how long; None: as each preset has it.

    epochs, max_minutes: for each model that is trained by gradient. machine: where and how those
    are computed, as `train` takes it. least_gain: the setting verdict.least_gain.
    """

    rows: Sequence[Planned]
    split: str | None = None
    seed: int = 0
    epochs: int | None = None
    max_minutes: float | None = None
    out: Path | None = None
    machine: Mapping[str, Any] = field(default_factory=dict)
    least_gain: float = LEAST_GAIN


def run_experiment(
    catalog: Catalog,
    request: ExperimentRequest,
    train_one: Train,
    *,
    data: Path,
) -> tuple[Outcome, Path]:
    """Train each row and write table1.csv and index.html; return the outcome and the folder.

    Safe to stop and to repeat: `train_one` does not train again what was trained on the same
    inputs. A row that fails costs that row. The table is written anew after each row, so that a
    long experiment shows what it has. Raises NotFound where there is no split, BadSetting for a
    seed or a time that none can be trained with, DeviceMissing.
    """
    with catalog.read() as session:
        split = find_split_row(session, request.split)
    for planned in request.rows:
        # What no row can be trained with is said before the first one, and not once for each.
        fit = training_of(planned, request, split.name).settled().fit
        if fit is not None:
            resolve(fit.device)
    params = {
        "experiment": "paper",
        "split": split.name,
        "seed": request.seed,
        "rows": [planned.name for planned in request.rows],
        "epochs": request.epochs,
        "max_minutes": request.max_minutes,
    }
    # The rows differ in what they need; that many lack it is no reason to leave out the rest.
    budget = FailureBudget(min_failures=len(request.rows) + 1)
    with record_run(catalog, "experiment", params=params, budget=budget) as run:
        folder = request.out or run_folder(data, run.id)
        run.expect(len(request.rows))
        results: list[Result] = []
        for planned in request.rows:
            results.append(_result(catalog, run, planned, request, split.name, train_one))
            _write(folder, _settings(run, split, request), results, request.least_gain)
    return run.outcome, folder


def training_of(planned: Planned, request: ExperimentRequest, split: str) -> TrainRequest:
    """What `train` is asked for to fill one row. UnknownKind: no such preset."""
    fit: dict[str, Any] = {}
    if find_preset(planned.preset).fit is not None:  # what is solved has no epochs
        given = {
            "epochs": request.epochs,
            "max_minutes": request.max_minutes,
            "loss": planned.loss,
        }
        fit = {name: value for name, value in given.items() if value is not None}
    return TrainRequest(
        preset=planned.preset,
        seed=request.seed,
        fit=fit,
        objective=planned.objective,
        target=planned.target,
        name=planned.name,
        split=split,
        machine=request.machine,
    )


def _result(
    catalog: Catalog,
    run: RunInProgress,
    planned: Planned,
    request: ExperimentRequest,
    split: str,
    train_one: Train,
) -> Result:
    try:
        outcome, model = train_one(training_of(planned, request, split), run.id)
    except OF_ONE_ROW as error:
        return _failed(run, planned, error)
    except RuntimeError as error:
        # The only way in which torch says that the machine is too small, outside of a GPU.
        if NO_MEMORY not in str(error):
            raise
        return _failed(run, planned, error)
    run.done()
    result = _measured(catalog, planned, model, trained=outcome.n_done > 0)
    run.note(planned.name, "table_row", table_row(result, request.least_gain))
    return result


def _failed(run: RunInProgress, planned: Planned, error: BaseException) -> Result:
    code = str(getattr(error, "code", type(error).__name__))
    run.failed(planned.name, code, str(error))
    return Result(planned, error=f"{type(error).__name__}: {error}")


def _measured(catalog: Catalog, planned: Planned, model: ModelFacts, *, trained: bool) -> Result:
    """Read back what the training of the model recorded, this time or an earlier one."""
    with catalog.read() as session:
        metrics = final_metrics(session, model.train_run_id, PART)
        # A chart shows no more than that, and nineteen rows are held at once.
        every = max(1, -(-int(metrics.get("n", 0)) // MOST_POINTS))
        predictions = islice(newest_predictions(session, model, PART), None, None, every)
        return Result(
            planned,
            version=model.version,
            train_run_id=model.train_run_id,
            trained=trained,
            metrics=metrics,
            predictions=[(row.actual_k, row.predicted_k) for row in predictions],
            losses=[
                (point.part, point.epoch, point.loss)
                for point in loss_points(session, model.train_run_id)
            ],
        )


def _write(folder: Path, settings: str, results: Sequence[Result], least_gain: float) -> None:
    shown = page_values(results, least_gain)
    page = render("experiment.html", title=TITLE, settings=settings, **shown)
    files = {TABLE_FILE: csv_text(results, least_gain), PAGE_FILE: page}
    for name, text in files.items():
        with atomic_file(folder / name) as temporary:
            temporary.write_text(text, encoding="utf-8")


def _settings(run: RunInProgress, split: SplitRow, request: ExperimentRequest) -> str:
    label = label_of(split.params)
    age_s = label.age_s if label.kind == "at" else None
    said = [
        f"Run {run.id}",
        f"split {split.name} (sha256 {split.sha256})",
        f"forecasts of the {forecast_of(str(label), age_s)}",
        f"seed {request.seed}",
    ]
    if request.epochs is not None:
        said.append(f"at most {request.epochs} epochs in place of those that each preset has")
    if request.max_minutes is not None:
        said.append(f"at most {request.max_minutes:g} minutes each")
    return ", ".join(said)
