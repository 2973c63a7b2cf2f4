"""Commands that train and score: pretrain, split, train, score, models."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click

from catalog.console import (
    App,
    dry_run_option,
    emit,
    emit_outcome,
    json_option,
    pass_app,
    table,
)

if TYPE_CHECKING:
    from catalog.facts import FeatureSetFacts, ModelFacts
    from catalog.runs import Outcome
    from features.store import FeatureStore

again_option = click.option("--again", is_flag=True, help="Even if exactly this was done before.")


@click.command()
@click.option("--epochs", type=click.IntRange(min=1), help="At most so many (paper: 200).")
@click.option("--batch", type=click.IntRange(min=1), help="Clips per step (paper: 4).")
@click.option("--lr", type=float, help="Learning rate of Adam (paper: 1e-4).")
@again_option
@json_option
@dry_run_option
@pass_app
def pretrain(
    app: App,
    epochs: int | None,
    batch: int | None,
    lr: float | None,
    again: bool,
    as_json: bool,
    dry_run: bool,
) -> None:
    """Train the ConvLSTM autoencoder on all clips, without labels."""
    given: dict[str, Any] = {"epochs": epochs, "batch": batch, "lr": lr}
    changed = {name: value for name, value in given.items() if value is not None}
    if dry_run:
        settings = {**app.settings.pretrain.model_dump(), **changed}
        emit({"dry_run": True, "settings": settings}, as_json=as_json)
        return
    emit_outcome(run_pretrain(app, changed, again=again, quiet=as_json), as_json=as_json)


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

        model = _model(app, model_name or app.settings.score.model)
        n_videos = steps.count_to_score(app.catalog, model, rescore=rescore)
        payload = {"dry_run": True, "model": model.name, "version": model.version}
        emit({**payload, "n_videos": n_videos}, as_json=as_json)
        return
    emit_outcome(run_score(app, model_name, rescore=rescore, quiet=as_json), as_json=as_json)


@click.group()
def models() -> None:
    """Presets and trained model versions."""


@models.command("list")
@json_option
@pass_app
def models_list(app: App, as_json: bool) -> None:
    """List every model version with its kind and the aliases that mean it."""
    from catalog.lookup import all_models

    with app.catalog.read() as session:
        rows = all_models(session)
    columns = ["name", "version", "kind", "aliases", "artifact_uri"]
    cells = [[row[column] for column in columns] for row in rows]
    emit({"models": rows}, as_json=as_json, text=table(columns, cells) if rows else "no model yet")


@models.command("describe")
@click.option("--preset", default="default", show_default=True)
@json_option
def models_describe(preset: str, as_json: bool) -> None:
    """Tell a preset's settings and its parameters by part, at the paper's sizes."""
    from model.registry import describe

    emit(describe(preset), as_json=as_json)


@models.command("promote")
@click.argument("model_name", metavar="NAME:VERSION")
@click.option("--alias", default="production", show_default=True)
@click.option("--reason", required=True, help="Kept in the journal with who and when.")
@json_option
@dry_run_option
@pass_app
def models_promote(
    app: App, model_name: str, alias: str, reason: str, as_json: bool, dry_run: bool
) -> None:
    """Let NAME@production mean this version; the history of an alias is kept."""
    import getpass

    from catalog.record import set_alias

    model = _model(app, model_name)
    if not dry_run:
        with app.catalog.write() as session:
            set_alias(session, model.name, alias, model.id, set_by=getpass.getuser(), reason=reason)
    payload = {"model": model.name, "version": model.version, "alias": alias, "dry_run": dry_run}
    emit(payload, as_json=as_json)


COMMANDS: list[click.Command] = [pretrain, split, train, score, models]


def run_pretrain(
    app: App,
    changed: Mapping[str, Any] | None = None,
    *,
    again: bool = False,
    if_missing: bool = False,
    quiet: bool = False,
    parent_id: int | None = None,
) -> "Outcome":
    """Pre-train with the application's settings; what `pretrain`, `nightly` and `demo` call.

    if_missing: any autoencoder for these clips will do, even if there are more clips now.
    """
    from catalog.progress import progress
    from model import steps
    from model.pretraining import PretrainConfig

    config = PretrainConfig(**{**app.settings.pretrain.model_dump(), **(changed or {})})
    with progress("pretrain", quiet=quiet) as bar:
        outcome, _model = steps.pretrain_autoencoder(
            app.catalog,
            _clip_set(app),
            config,
            store=_store(app),
            data=app.settings.data_folder,
            progress=bar,
            again=again,
            if_missing=if_missing,
            parent_id=parent_id,
        )
    return outcome


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
            lambda kind: _feature_set(app, kind),
            store=_store(app),
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
            _model(app, model_name or app.settings.score.model),
            store=_store(app),
            data=app.settings.data_folder,
            progress=bar,
            rescore=rescore,
            parent_id=parent_id,
        )


def _model(app: App, text: str) -> "ModelFacts":
    """Find NAME, NAME:VERSION or NAME@ALIAS."""
    from catalog.lookup import find_model

    name, _, alias = text.partition("@")
    name, _, version = name.partition(":")
    if version and not version.isdigit():
        raise click.UsageError(f"{text!r} is no model: write NAME, NAME:VERSION or NAME@ALIAS")
    with app.catalog.read() as session:
        return find_model(
            session, name=name, version=int(version) if version else None, alias=alias or None
        )


def _clip_set(app: App) -> "FeatureSetFacts":
    return _feature_set(app, "clip")


def _feature_set(app: App, kind: str) -> "FeatureSetFacts":
    """The feature set of the application's settings. Raises NotFound where nothing is extracted."""
    from catalog.errors import NotFound
    from catalog.lookup import find_feature_set
    from features.commands import plan_of

    spec = plan_of(app, kind).spec()
    with app.catalog.read() as session:
        found = find_feature_set(session, spec.kind, spec.hash)
    if found is None:
        raise NotFound(f"no {kind} feature of these settings yet: run `viewcast extract {kind}`")
    return found


def _store(app: App) -> "FeatureStore":
    from features.commands import store_root
    from features.store import FeatureStore

    return FeatureStore(store_root(app))
