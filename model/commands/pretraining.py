"""The command that trains or takes an autoencoder: pretrain."""

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from catalog.console import App, dry_run_option, emit, emit_outcome, json_option, pass_app
from model.commands.choices import again_option, feature_set_of, store_of

if TYPE_CHECKING:
    from catalog.work.runs import Outcome
    from model.settings import PretrainConfig


@click.command()
@click.option("--epochs", type=click.IntRange(min=1), help="At most so many (paper: 200).")
@click.option("--batch", type=click.IntRange(min=1), help="Clips per step (paper: 4).")
@click.option("--lr", type=float, help="Learning rate of Adam (paper: 1e-4).")
@click.option("--device", metavar="auto|cpu|cuda|cuda:N", help="Where to compute.")
@click.option("--precision", type=click.Choice(["auto", "fp32", "bf16"]), help="Of convolutions.")
@click.option(
    "--from",
    "weights",
    type=click.Path(path_type=Path),
    help="Train nothing: take this .pt or .safetensors state dict as the autoencoder.",
)
@click.option(
    "--normalised/--unnormalised", default=None, help="Whether it sees pixels as 0..1 or 0..255."
)
@again_option
@json_option
@dry_run_option
@pass_app
def pretrain(
    app: App,
    epochs: int | None,
    batch: int | None,
    lr: float | None,
    device: str | None,
    precision: str | None,
    weights: Path | None,
    normalised: bool | None,
    again: bool,
    as_json: bool,
    dry_run: bool,
) -> None:
    """Train the ConvLSTM autoencoder on all clips, without labels; or import its weights.

    Under `torchrun` every process takes its share of each batch, and the first one records.
    """
    flags: dict[str, Any] = {
        "epochs": epochs,
        "batch": batch,
        "lr": lr,
        "device": device,
        "precision": precision,
        "normalised": normalised,
    }
    if dry_run:
        source = None if weights is None else str(weights)
        settings = asdict(_config(app, flags))
        emit({"dry_run": True, "from": source, "settings": settings}, as_json=as_json)
        return
    if weights is not None:
        outcome = _import(app, weights, flags)
    else:
        outcome = run_pretrain(app, flags, again=again, quiet=as_json)
    emit_outcome(outcome, as_json=as_json)


def run_pretrain(
    app: App,
    flags: Mapping[str, Any] | None = None,
    *,
    again: bool = False,
    if_missing: bool = False,
    quiet: bool = False,
    parent_id: int | None = None,
) -> "Outcome":
    """Pre-train with the application's settings; what `pretrain`, `nightly` and `demo` call.

    flags: settings that this call has instead; what is None was not given.
    if_missing: any autoencoder for these clips will do, even if there are more clips now.
    Of `torchrun`'s processes only the first returns; it has recorded for all.
    """
    from catalog.console import progress
    from model.steps.pretrain import assist_pretraining, pretrain_autoencoder
    from model.training.world import join

    config = _config(app, flags or {})
    with join(config.device) as world:
        if world.rank:
            assist_pretraining(config, store=store_of(app), world=world)
            raise click.exceptions.Exit(0)
        with progress("pretrain", quiet=quiet) as bar:
            outcome, _model = pretrain_autoencoder(
                app.catalog,
                feature_set_of(app, "clip"),
                config,
                store=store_of(app),
                data=app.settings.data_folder,
                progress=bar,
                again=again,
                if_missing=if_missing,
                parent_id=parent_id,
                world=world,
            )
    return outcome


def _config(app: App, flags: Mapping[str, Any]) -> "PretrainConfig":
    from model.settings import PretrainConfig

    return app.settings_with(pretrain=flags).of(PretrainConfig)


def _import(app: App, weights: Path, flags: Mapping[str, Any]) -> "Outcome":
    from model.steps.pretrain import import_autoencoder

    given = {name for name, value in flags.items() if value is not None}
    too_many = sorted(given - {"normalised"})
    if too_many:
        raise click.UsageError(f"--{too_many[0]} is of a training; --from trains nothing")
    outcome, _model = import_autoencoder(
        app.catalog,
        feature_set_of(app, "clip"),
        weights,
        data=app.settings.data_folder,
        normalised=_config(app, flags).normalised,
    )
    return outcome
