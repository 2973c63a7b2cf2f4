"""The commands about presets and trained versions: models."""

from typing import Any

import click

from catalog.console import App, dry_run_option, emit, json_option, pass_app, table
from model.commands.choices import find_model_named, store_of


@click.group()
def models() -> None:
    """Presets and trained model versions."""


@models.command("list")
@json_option
@pass_app
def models_list(app: App, as_json: bool) -> None:
    """List every model version with its kind and the aliases that mean it."""
    from catalog.read.lookup import all_models

    with app.catalog.read() as session:
        rows = all_models(session)
    columns = ["name", "version", "kind", "forecasts", "aliases", "artifact_uri"]
    cells = [[row[column] for column in columns] for row in rows]
    emit({"models": rows}, as_json=as_json, text=table(columns, cells) if rows else "no model yet")


@models.command("presets")
@json_option
def models_presets(as_json: bool) -> None:
    """List what `train` can train, with what each reads."""
    from model.registry import PRESETS, find_kind

    rows: list[dict[str, Any]] = [
        {
            "preset": preset.name,
            "kind": preset.kind,
            "reads": list(preset.reads),
            "all_optional": find_kind(preset.kind).optional,
            "target": preset.target,
            "summary": preset.summary,
        }
        for preset in PRESETS.values()
    ]
    cells = [
        [row["preset"], ", ".join(row["reads"]) or "–", row["target"], row["summary"]]
        for row in rows
    ]
    emit({"presets": rows}, as_json=as_json, text=table(["preset", "reads", "target", ""], cells))


@models.command("describe")
@click.option("--preset", default="paper", show_default=True)
@json_option
def models_describe(preset: str, as_json: bool) -> None:
    """Tell a preset's settings and its parameters by part, at the paper's sizes."""
    from model.registry import describe

    emit(describe(preset), as_json=as_json)


@models.command("fetch")
@click.argument("name", metavar="NETWORK:WEIGHTS")
@json_option
@dry_run_option
def models_fetch(name: str, as_json: bool, dry_run: bool) -> None:
    """Download a video network's published weights into torchvision's cache; needs internet.

    Such as swin3d_t:KINETICS400_V1, to start from with `train paper-swin --set weights=NAME`.
    """
    from model.errors import BadSetting
    from model.networks.swin3d import fetch, published, published_file

    if name not in published():
        raise BadSetting(f"weights {name!r} are none of {', '.join(published())}")
    file = published_file(name) if dry_run else fetch(name)
    emit({"weights": name, "file": str(file), "dry_run": dry_run}, as_json=as_json)


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

    from catalog.record.lineage import set_alias

    model = find_model_named(app, model_name)
    if not dry_run:
        with app.catalog.write() as session:
            set_alias(session, model.name, alias, model.id, set_by=getpass.getuser(), reason=reason)
    payload = {"model": model.name, "version": model.version, "alias": alias, "dry_run": dry_run}
    emit(payload, as_json=as_json)


@models.command("compare-autoencoders")
@click.argument("names", metavar="NAME:VERSION...", nargs=-1, required=True)
@json_option
@pass_app
def models_compare_autoencoders(app: App, names: tuple[str, ...], as_json: bool) -> None:
    """Draw loss curves and reconstructions of several autoencoders on one page.

    Such as two that were trained on clips of another frame skip (the paper's Fig. 5 and 6).
    """
    from model.steps.figures import compare_autoencoders

    found = [find_model_named(app, name) for name in names]
    page = compare_autoencoders(
        app.catalog, found, store=store_of(app), data=app.settings.data_folder
    )
    payload: dict[str, Any] = {"page": str(page), "models": list(names)}
    emit(payload, as_json=as_json, text=f"The page: {page}")
