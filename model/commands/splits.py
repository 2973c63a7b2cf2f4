"""The commands about frozen splits: split create, split list, split show."""

from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime
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
    from catalog.read.lookup import SplitRow
    from catalog.work.runs import Outcome
    from model.split import SplitConfig, SplitSummary

N_SHA = 12  # characters of a hash that a person compares


@click.group()
def split() -> None:
    """Frozen splits: who trains, validates and is held out."""


@split.command("create")
@click.option("--name", help="Default: the strategy and the run's number.")
@click.option("--strategy", type=click.Choice(["time", "author", "hash", "paper"]))
@click.option("--val", type=float, help="Fraction that validates.")
@click.option("--holdout", type=float, help="Fraction that is held out.")
@click.option("--seed", type=int, help="Of the strategies that draw.")
@click.option(
    "--label",
    metavar="latest|at:AGE|from:AGE",
    help="Which count of a video is its label; AGE such as 7d.",
)
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
    label: str | None,
    as_json: bool,
    dry_run: bool,
) -> None:
    """Freeze a split of all videos with a readable count; the label is the latest count now.

    With --label at:7d it is the views at the age of seven days, from the counts around it; with
    --label from:7d the first count seen at that age or later. A video that has none is left out and
    counted: young videos are not taken for unpopular ones.
    """
    flags = {
        "strategy": strategy,
        "val": val,
        "holdout": holdout,
        "seed": seed,
        "label": label,
    }
    if dry_run:
        emit({"dry_run": True, "settings": _config(app, flags).to_json()}, as_json=as_json)
        return
    emit_outcome(run_split(app, flags, name=name), as_json=as_json)


@split.command("list")
@json_option
@pass_app
def split_list(app: App, as_json: bool) -> None:
    """List every split, the newest first."""
    from catalog.read.lookup import all_splits

    with app.catalog.read() as session:
        rows = [_listed(row) for row in all_splits(session)]
    columns = ["name", "strategy", "created_at", "train", "val", "holdout", "sha256"]
    cells = [
        [
            row["name"],
            row["strategy"],
            row["created_at"][:16],
            *(row["n_by_part"].get(part) for part in ("train", "val", "holdout")),
            row["sha256"][:N_SHA],
        ]
        for row in rows
    ]
    emit({"splits": rows}, as_json=as_json, text=table(columns, cells) if rows else "no split yet")


@split.command("show")
@click.argument("name", required=False)
@json_option
@pass_app
def split_show(app: App, name: str | None, as_json: bool) -> None:
    """Tell how a split was made, its parts, label ages, and what crosses parts.

    NAME: default, the newest split.
    """
    from model.split import explain
    from model.steps.split import show_split

    row, summary = show_split(app.catalog, name, app.settings.ages.rule)
    payload = {
        **_listed(row),
        "parts": {
            part: {name: _plain(value) for name, value in asdict(found).items()}
            for part, found in summary.parts.items()
        },
        "shared_authors": [asdict(shared) for shared in summary.shared],
        "n_labels_later": summary.n_labels_later,
        "label_age_d_10": summary.label_age_d_10,
        "label_age_d_90": summary.label_age_d_90,
        "n_equal": summary.n_equal,
        "notes": explain(summary),
    }
    emit(payload, as_json=as_json, text=_shown(row, summary, payload["notes"]))


def run_split(
    app: App,
    flags: Mapping[str, Any] | None = None,
    *,
    name: str | None = None,
    if_missing: bool = False,
    quiet: bool = False,  # noqa: ARG001 (every stage takes it; this one is over at once)
    parent_id: int | None = None,
) -> "Outcome":
    """Create a split with the application's settings; if_missing: only where there is none.

    flags: settings that this call has instead; what is None was not given.
    """
    from model.steps.split import create_split

    config = _config(app, flags or {})
    outcome, _split = create_split(
        app.catalog,
        config,
        rule=app.settings.ages.rule,
        name=name,
        if_missing=if_missing,
        parent_id=parent_id,
    )
    return outcome


def _config(app: App, flags: Mapping[str, Any]) -> "SplitConfig":
    from model.split import SplitConfig

    return app.settings_with(split=flags).of(SplitConfig)


def _plain(value: object) -> object:
    return value.isoformat() if isinstance(value, datetime) else value


def _listed(row: "SplitRow") -> dict[str, Any]:
    return {**asdict(row), "created_at": row.created_at.isoformat()}


def _shown(row: "SplitRow", summary: "SplitSummary", notes: list[str]) -> str:
    params = {name: value for name, value in row.params.items() if name != "left_out"}
    settings = ", ".join(f"{name} {value}" for name, value in sorted(params.items()))
    columns = ["part", "n", "posted from", "to", "label age (days)", "labels seen to", "authors"]
    cells = [
        [
            part,
            found.n,
            f"{found.posted_from:%Y-%m-%d %H:%M}",
            f"{found.posted_to:%Y-%m-%d %H:%M}",
            f"{found.label_age_d_min:.1f} to {found.label_age_d_max:.1f}, "
            f"median {found.label_age_d_median:.1f}",
            f"{found.labels_seen_to:%Y-%m-%d %H:%M}",
            found.n_authors,
        ]
        for part, found in summary.parts.items()
    ]
    head = f"{row.name} ({settings}), sha256 {row.sha256}"
    left_out = [f"{code}: {n}" for code, n in row.params.get("left_out", {}).items()]
    if left_out:
        notes = [f"videos left out when it was made: {', '.join(left_out)}", *notes]
    return "\n".join([head, table(columns, cells), *(f"- {note}" for note in notes)])
