"""The command that retrains: a challenger takes the champion's place only if it is better."""

from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from catalog.console import App, dry_run_option, emit, emit_outcome, json_option, pass_app
from model.commands.choices import feature_set_of, store_of, who
from model.commands.training import request_of

if TYPE_CHECKING:
    from catalog.work.runs import Outcome
    from model.steps.retrain import RetrainRequest, Verdict


@click.command()
@click.argument("preset", required=False)
@click.option("--name", help="Of the model. Default: the preset and what differs from it.")
@click.option("--slot", help="Name of this retraining on a clock; done once.")
@click.option("--scheduled-for", type=click.DateTime(), help="When it was due (UTC).")
@json_option
@dry_run_option
@pass_app
def retrain(
    app: App,
    preset: str | None,
    name: str | None,
    slot: str | None,
    scheduled_for: datetime | None,
    as_json: bool,
    dry_run: bool,
) -> None:
    """Train a challenger on all that is known, and promote it if it is better than the champion.

    Both forecast the newest videos, which have taught neither; NAME@production then means the
    challenger if its error is smaller by more than luck explains. A refused one is kept: see
    `models history`. Without new data nothing is done again.
    """
    if dry_run:
        request = retrain_request(app, preset, name)
        emit(
            {
                "dry_run": True,
                "model": request.name,
                "preset": request.training.preset,
                "metric": request.metric,
                "split": request.split.to_json(),
            },
            as_json=as_json,
        )
        return
    due = None if scheduled_for is None else scheduled_for.replace(tzinfo=UTC)
    outcome, verdict = _retrain(app, preset, name, quiet=as_json, slot=slot, scheduled_for=due)
    emit_outcome(outcome, as_json=as_json, extra=_said(verdict))


def retrain_request(app: App, preset: str | None, name: str | None) -> "RetrainRequest":
    """What is asked for, by the settings."""
    from model.settings import RetrainConfig, ScoreConfig, TrainConfig
    from model.split import SplitConfig
    from model.steps.retrain import RetrainRequest

    settings = app.settings.of(RetrainConfig)
    preset = preset or settings.preset or app.settings.of(TrainConfig).preset
    split = app.settings_with(split={"strategy": "time", "holdout": settings.holdout})
    return RetrainRequest(
        training=request_of(app, preset, name=name),
        split=split.of(SplitConfig),
        metric=settings.metric,
        min_rows=settings.min_rows,
        least_gain=app.settings.verdict.least_gain,
        set_by=who(),
        device=app.settings.of(ScoreConfig).device,
        ages=app.settings.ages.rule,
    )


def _retrain(
    app: App, preset: str | None, name: str | None, *, quiet: bool, **of_run: Any
) -> "tuple[Outcome, Verdict | None]":
    from catalog.console import progress
    from features.device import resolve
    from model.steps.retrain import retrain as retrain_step

    request = retrain_request(app, preset, name)
    if (fit := request.training.settled().fit) is not None:
        resolve(fit.device)  # a GPU that is not there is said before anything is recorded
    with progress(f"retrain {request.name}", quiet=quiet) as bar:
        return retrain_step(
            app.catalog,
            request,
            lambda kind: feature_set_of(app, kind),
            store=store_of(app),
            data=app.settings.data_folder,
            progress=bar,
            **of_run,
        )


def _said(verdict: "Verdict | None") -> dict[str, Any]:
    if verdict is None:
        return {}
    champion = verdict.champion
    return {
        "model": verdict.challenger.name,
        "challenger": verdict.challenger.version,
        "champion": None if champion is None else champion.version,
        "promoted": verdict.is_promoted,
        "reason": verdict.reason,
        **asdict(verdict.trial),
    }
