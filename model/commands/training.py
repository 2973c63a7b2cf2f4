"""The commands that part, train and score: split, train, score."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click

from catalog.console import App, dry_run_option, emit, emit_outcome, json_option, pass_app
from model.commands.choices import again_option, feature_set_of, find_model_named, store_of

if TYPE_CHECKING:
    from catalog.runs import Outcome


@click.group()
def split() -> None:
    """Frozen splits: who trains, validates and is held out."""


@split.command("create")
@click.option("--name", help="Default: the strategy and the run's number.")
@click.option("--strategy", type=click.Choice(["time", "author", "hash", "paper"]))
@click.option("--val", type=float, help="Fraction that validates.")
@click.option("--holdout", type=float, help="Fraction that is held out.")
@click.option("--seed", type=int, help="Of the strategies that draw.")
@json_option
@dry_run_option
@pass_app
def split_create(
    app: App,
    name: str | None,
    strategy: str | None,
    val: float | None,
    holdout: float | None,
    seed: int | None,
    as_json: bool,
    dry_run: bool,
) -> None:
    """Freeze a split of all videos with a readable count; the label is the latest count now."""
    given = {"strategy": strategy, "val": val, "holdout": holdout, "seed": seed}
    changed = {name: value for name, value in given.items() if value is not None}
    if dry_run:
        settings = {**app.settings.split.model_dump(), **changed}
        emit({"dry_run": True, "settings": settings}, as_json=as_json)
        return
    emit_outcome(run_split(app, changed, name=name), as_json=as_json)


@click.command()
@click.argument("preset", required=False)
@click.option("--split", "split_name", help="Default: the newest.")
@click.option("--seed", type=int)
@click.option("--epochs", type=click.IntRange(min=1))
@click.option("--lr", type=float)
@click.option("--max-minutes", type=float, help="Stop after the epoch that passes this.")
@again_option
@json_option
@dry_run_option
@pass_app
def train(
    app: App,
    preset: str | None,
    split_name: str | None,
    seed: int | None,
    epochs: int | None,
    lr: float | None,
    max_minutes: float | None,
    again: bool,
    as_json: bool,
    dry_run: bool,
) -> None:
    """Train PRESET (default, paper, mean, median, geometric_mean) and evaluate it by part."""
    from model.registry import describe

    preset = preset or app.settings.train.preset
    if dry_run:
        emit({"dry_run": True, **describe(preset)}, as_json=as_json)
        return
    given = {"epochs": epochs, "lr": lr, "max_minutes": max_minutes}
    changed = {name: value for name, value in given.items() if value is not None}
    outcome = run_train(
        app,
        preset,
        changed,
        split_name=split_name,
        seed=seed,
        again=again,
        quiet=as_json,
    )
    emit_outcome(outcome, as_json=as_json)


@click.command()
@click.option("--model", "model_name", help="NAME, NAME:VERSION or NAME@ALIAS.")
@click.option("--rescore", is_flag=True, help="Also videos that this version has scored before.")
@json_option
@dry_run_option
@pass_app
def score(
    app: App, model_name: str | None, rescore: bool, as_json: bool, dry_run: bool
) -> None:
    """Predict the views of every ready video that the model has not scored yet."""
    if dry_run:
        from model import steps

        model = find_model_named(app, model_name or app.settings.score.model)
        n_videos = steps.count_to_score(app.catalog, model, rescore=rescore)
        payload = {"dry_run": True, "model": model.name, "version": model.version}
        emit({**payload, "n_videos": n_videos}, as_json=as_json)
        return
    emit_outcome(run_score(app, model_name, rescore=rescore, quiet=as_json), as_json=as_json)


def run_split(
    app: App,
    changed: Mapping[str, Any] | None = None,
    *,
    name: str | None = None,
    if_missing: bool = False,
    quiet: bool = False,  # noqa: ARG001 (every stage takes it; this one is over at once)
    parent_id: int | None = None,
) -> "Outcome":
    """Create a split with the application's settings; if_missing: only where there is none."""
    from model import steps
    from model.split import SplitConfig

    config = SplitConfig(**{**app.settings.split.model_dump(), **(changed or {})})
    outcome, _split = steps.create_split(
        app.catalog, config, name=name, if_missing=if_missing, parent_id=parent_id
    )
    return outcome


def run_train(
    app: App,
    preset: str,
    fit: Mapping[str, Any] | None = None,
    *,
    split_name: str | None = None,
    seed: int | None = None,
    again: bool = False,
    if_missing: bool = False,
    quiet: bool = False,
    parent_id: int | None = None,
) -> "Outcome":
    """Train with the application's settings; if_missing: any version of the model will do."""
    from catalog.progress import progress
    from model import steps

    settings = app.settings.train
    request = steps.TrainRequest(
        preset=preset,
        seed=settings.seed if seed is None else seed,
        fit=fit or {},
        split=split_name,
        again=again,
        if_missing=if_missing,
    )
    with progress(f"train {preset}", quiet=quiet) as bar:
        outcome, _model = steps.train(
            app.catalog,
            request,
            lambda kind: feature_set_of(app, kind),
            store=store_of(app),
            data=app.settings.data_folder,
            progress=bar,
            parent_id=parent_id,
        )
    return outcome


def run_score(
    app: App,
    model_name: str | None = None,
    *,
    rescore: bool = False,
    quiet: bool = False,
    parent_id: int | None = None,
) -> "Outcome":
    """Score with the application's settings; what `score`, `nightly` and `demo` call."""
    from catalog.progress import progress
    from model import steps

    with progress("score", quiet=quiet) as bar:
        return steps.score(
            app.catalog,
            find_model_named(app, model_name or app.settings.score.model),
            store=store_of(app),
            data=app.settings.data_folder,
            progress=bar,
            rescore=rescore,
            parent_id=parent_id,
        )
