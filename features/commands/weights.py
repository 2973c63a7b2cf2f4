"""The commands about weights that are not trained here: weights."""

from typing import TYPE_CHECKING, Any

import click

from catalog.console import App, dry_run_option, emit, json_option, pass_app, table
from features.commands.plans import file_plan

if TYPE_CHECKING:
    from features.settings import FramesConfig

of_option = click.option(
    "--of",
    "kind",
    type=click.Choice(["audio", "frames"]),
    default="audio",
    show_default=True,
    help="Whose: Whisper's, or the network of `extract frames`.",
)


@click.group()
def weights() -> None:
    """Weights that others trained: where they were found, and whether they are the right ones."""


@weights.command("list")
@json_option
@pass_app
def weights_list(app: App, as_json: bool) -> None:
    """List Whisper's weights on this machine, with their hashes, and which would be used."""
    from features.settings import AudioConfig
    from features.sound.whisper_weights import WeightsSources, list_weights

    settings = app.settings.of(AudioConfig)
    found = list_weights(settings.model, WeightsSources(path=settings.weights))
    rows = [
        {
            "model": place.model,
            "place": place.place,
            "files": [str(file) for file in place.files],
            "sha256": place.sha256,
            "state": place.state,
            "used": place.used,
        }
        for place in found
    ]
    columns = ["model", "place", "state", "used", "files"]
    cells = [[str(row[name]) for name in columns] for row in rows]
    emit({"weights": rows}, as_json=as_json, text=table(columns, cells) if rows else "none found")


@weights.command("verify")
@of_option
@json_option
@pass_app
def weights_verify(app: App, kind: str, as_json: bool) -> None:
    """Load the weights that `extract` would use and print their fingerprint.

    Of Whisper's also the layout that its decoder's products have on this machine.
    """
    emit(_verify_frames(app) if kind == "frames" else _verify_audio(app), as_json=as_json)


@weights.command("fetch")
@of_option
@json_option
@dry_run_option
@pass_app
def weights_fetch(app: App, kind: str, as_json: bool, dry_run: bool) -> None:
    """Let Whisper, or torchvision, download its own weights into its own cache; needs internet."""
    fetch = _fetch_frames if kind == "frames" else _fetch_audio
    emit(fetch(app, dry_run=dry_run), as_json=as_json)


def _verify_audio(app: App) -> dict[str, Any]:
    from features.settings import AudioConfig
    from features.sound.whisper_decoder import RowDecoder
    from features.sound.whisper_weights import (
        WeightsSources,
        find_weights,
        fingerprint,
        load_whisper,
    )

    settings = app.settings.of(AudioConfig)
    sources = WeightsSources(path=settings.weights)
    found = find_weights(settings.model, sources)
    network = load_whisper(settings.model, sources)
    return {
        "model": settings.model,
        "files": [str(file) for file in found.files],
        "fingerprint": fingerprint(network),
        "layout": RowDecoder(network).layout,
    }


def _fetch_audio(app: App, *, dry_run: bool) -> dict[str, Any]:
    from features.settings import AudioConfig
    from features.sound.whisper_weights import WeightsSources, fingerprint, load_whisper

    model = app.settings.of(AudioConfig).model
    sources = WeightsSources(download=True)
    payload: dict[str, Any] = {"model": model, "cache": str(sources.cache), "dry_run": dry_run}
    if not dry_run:
        payload["fingerprint"] = fingerprint(load_whisper(model, sources))
    return payload


def _frames_config(app: App) -> "FramesConfig":
    from features.settings import FramesConfig

    config = file_plan(app, "frames").config  # refuses what torchvision does not have
    assert isinstance(config, FramesConfig)
    return config


def _verify_frames(app: App) -> dict[str, Any]:
    from features.video.backbones import (
        backbone_fingerprint,
        choose_weights,
        find_file,
        load_backbone,
    )

    config = _frames_config(app)
    chosen = choose_weights(config.backbone, config.weights)
    file = find_file(chosen)
    return {
        "model": config.backbone,
        "files": [] if file is None else [str(file)],
        "fingerprint": backbone_fingerprint(load_backbone(chosen)),
    }


def _fetch_frames(app: App, *, dry_run: bool) -> dict[str, Any]:
    from features.video.backbones import choose_weights, fetch_weights

    config = _frames_config(app)
    chosen = choose_weights(config.backbone, config.weights)
    published = None if chosen.published is None else str(chosen.published.file)
    payload: dict[str, Any] = {"model": config.backbone, "cache": published, "dry_run": dry_run}
    if not dry_run:
        payload["file"] = str(fetch_weights(chosen) or "")
    return payload
