"""The commands about presets and trained versions: models."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Literal

import click

from catalog.console import App, dry_run_option, emit, json_option, pass_app, table
from model.commands.choices import find_model_named, store_of, who

if TYPE_CHECKING:
    from catalog.facts import ModelFacts


@click.group()
def models() -> None:
    """Presets and trained model versions."""


@models.command("list")
@json_option
@pass_app
def models_list(app: App, as_json: bool) -> None:
    """List every model version with its kind, the aliases that mean it, and why it was refused."""
    from catalog.read.lookup import all_models
    from catalog.read.model_history import model_history, refused

    with app.catalog.read() as session:
        reasons = refused(model_history(session))
        rows = [
            {**row, "refused": reasons.get((row["name"], row["version"]))}
            for row in all_models(session)
        ]
    columns = ["name", "version", "kind", "forecasts", "aliases", "artifact_uri", "refused"]
    cells = [[row[column] for column in columns] for row in rows]
    emit({"models": rows}, as_json=as_json, text=table(columns, cells) if rows else "no model yet")


@models.command("history")
@click.argument("name", required=False)
@json_option
@pass_app
def models_history(app: App, name: str | None, as_json: bool) -> None:
    """Tell who let an alias mean which version, when and why, and which challengers were refused.

    NAME: of that model alone. The newest come last.
    """
    from catalog.errors import NotFound
    from catalog.read.lookup import newest_model
    from catalog.read.model_history import model_history

    with app.catalog.read() as session:
        changes = model_history(session, name)
        if name is not None and not changes and newest_model(session, name) is None:
            raise NotFound(f"no model {name}; `viewcast models list` tells what there is")
    rows = [{**asdict(change), "at": change.at.isoformat()} for change in changes]
    columns = ["at", "model", "action", "from", "to", "by", "reason"]
    cells = [
        [
            f"{change.at:%Y-%m-%d %H:%M}",
            f"{change.model_name}@{change.alias}",
            change.action,
            change.from_version,
            change.to_version,
            change.set_by,
            change.reason,
        ]
        for change in changes
    ]
    text = table(columns, cells) if rows else "nothing was promoted or refused yet"
    emit({"changes": rows}, as_json=as_json, text=text)


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


alias_option = click.option("--alias", default="production", show_default=True)
reason_option = click.option(
    "--reason", required=True, help="Kept in the journal with who and when."
)


@models.command("promote")
@click.argument("model_name", metavar="NAME:VERSION")
@alias_option
@reason_option
@json_option
@dry_run_option
@pass_app
def models_promote(
    app: App, model_name: str, alias: str, reason: str, as_json: bool, dry_run: bool
) -> None:
    """Let NAME@production mean this version; the history of an alias is kept."""
    model = find_model_named(app, model_name, is_exact=True)
    _set_alias(app, model, alias, reason, "promoted", as_json=as_json, dry_run=dry_run)


@models.command("rollback")
@click.argument("name")
@click.option("--to", "version", type=click.IntRange(min=1), help="Default: the one before.")
@alias_option
@reason_option
@json_option
@dry_run_option
@pass_app
def models_rollback(
    app: App,
    name: str,
    version: int | None,
    alias: str,
    reason: str,
    as_json: bool,
    dry_run: bool,
) -> None:
    """Let NAME@production mean again what it meant before, by its history.

    Once more, it goes one version farther back. --to takes any version that it has meant.
    """
    from catalog.errors import NotFound
    from catalog.read.lookup import find_model
    from catalog.read.model_history import model_history, versions_before

    with app.catalog.read() as session:
        now = find_model(session, name=name, alias=alias)
        changes = model_history(session, name)
        ever = {c.to_version for c in changes if c.alias == alias and c.action != "refused"}
        before = versions_before(changes, alias)
        if version is None and not before:
            raise NotFound(f"{name}@{alias} means version {now.version}, and none before it")
        wanted = before[-1] if version is None else version
        if wanted not in ever or wanted == now.version:
            others = ", ".join(map(str, sorted(ever - {now.version}))) or "no other version"
            raise NotFound(
                f"{name}@{alias} means version {now.version} and has meant {others}; "
                f"for another one there is `viewcast models promote {name}:{wanted}`"
            )
        model = find_model(session, name=name, version=wanted)
    if not (app.settings.data_folder / model.artifact_uri).is_file():
        raise NotFound(
            f"the file of {name} version {wanted} is gone: {model.artifact_uri}; name another "
            "version with --to"
        )
    _set_alias(app, model, alias, reason, "rolled back", as_json=as_json, dry_run=dry_run)


def _set_alias(
    app: App,
    model: "ModelFacts",
    alias: str,
    reason: str,
    action: Literal["promoted", "rolled back"],
    *,
    as_json: bool,
    dry_run: bool,
) -> None:
    from catalog.record.lineage import set_alias

    if not dry_run:
        with app.catalog.write() as session:
            set_alias(
                session,
                model.name,
                alias,
                model.id,
                set_by=who(),
                reason=reason,
                action=action,
            )
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
