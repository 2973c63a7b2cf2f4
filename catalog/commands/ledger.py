"""The commands of the ledger of forecasts: judge, show, list."""

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import click

from catalog.console import (
    DURATION,
    App,
    cut_note,
    dry_run_option,
    emit,
    emit_outcome,
    first_of,
    json_option,
    pass_app,
    table,
)

if TYPE_CHECKING:
    from catalog.work.runs import Outcome

STANDING = ("model_name", "model_version", "horizon_d", "n_open", "n_due", "next_due_at")
ERRORS = ("log_mae", "bias_log", "mae_k", "coverage", "days_ahead")
NIGHT = ("night", "model_name", "model_version", "horizon_d", "n", "n_unobserved", *ERRORS)
WEEK = ("week", *NIGHT[1:5], "n_open", "n_unobserved", *ERRORS)
CONTROL = (
    "model_name", "horizon_d", "night", "what", "value", "centre", "low", "high", "n", "n_nights",
    "is_out",
)  # fmt: skip
FORECAST = (
    "tiktok_id", "model_name", "model_version", "horizon_d", "made_at", "days_ahead", "status",
    "predicted_k", "low_k", "high_k", "truth_k", "error_log", "is_inside",
)  # fmt: skip


@click.group()
def ledger() -> None:
    """Forecasts made before their horizon, and what came of them."""


def run_judge(app: App, *, quiet: bool, parent_id: int | None = None) -> "Outcome":
    """Judge the forecasts whose horizon has passed, and record their errors with the run."""
    from catalog.ages import age_text
    from catalog.console import progress
    from catalog.record.ledger import judge, judged_metrics, n_due
    from catalog.schema.types import utc_now
    from catalog.work.runs import record_run

    rule = app.settings.ages.rule
    params = {"reach": rule.reach, "tolerance": rule.tolerance}
    with record_run(app.catalog, "judge", params=params, parent_id=parent_id) as run:
        now = utc_now()
        with app.catalog.read() as session:
            n = n_due(session, now)
        run.expect(n)
        with progress("judge", quiet=quiet) as bar:
            bar.expect(n)
            judge(app.catalog, run, bar, now=now, rule=rule)
        with app.catalog.read() as session:
            found = list(judged_metrics(session, run.id, now))
        for horizon_s, metrics in found:
            for name, value in metrics.items():
                run.metric(f"ledger {age_text(horizon_s)}", name, value)
    return run.outcome


@ledger.command("judge")
@json_option
@dry_run_option
@pass_app
def ledger_judge(app: App, as_json: bool, dry_run: bool) -> None:
    """Judge each forecast whose horizon has passed, once, by counts seen after it was made."""
    from catalog.record.ledger import n_due
    from catalog.schema.types import utc_now

    if dry_run:
        with app.catalog.read() as session:
            n = n_due(session, utc_now())
        emit({"dry_run": True, "n_due": n}, as_json=as_json)
        return
    emit_outcome(run_judge(app, quiet=as_json), as_json=as_json)


@ledger.command("show")
@click.option("--model", "model_name", help="Only of this model.")
@click.option("--horizon", type=DURATION, help="Only forecasts of this age, such as 7d.")
@click.option(
    "--limit",
    default=14,
    show_default=True,
    type=click.IntRange(min=1),
    help="The newest so many rows of nights, and of weeks.",
)
@json_option
@pass_app
def ledger_show(
    app: App, model_name: str | None, horizon: timedelta | None, limit: int, as_json: bool
) -> None:
    """Show what waits, and the errors by night of judging and by week of posting.

    Without forecasts of videos that the model was trained on. Below them the control charts of
    the newest night.
    """
    from dataclasses import asdict

    from catalog.read import drift
    from catalog.read import ledger as kept
    from catalog.schema.types import utc_now

    only = kept.Only(model_name, None if horizon is None else int(horizon.total_seconds()))
    with app.catalog_to_read.read() as session:
        standing = kept.standing(session, utc_now(), only)
        nights, nights_cut = first_of(kept.nights(session, limit + 1, only), limit)
        weeks, weeks_cut = first_of(kept.weeks(session, limit + 1, only), limit)
        found = drift.controls(session, only)
    controls = [
        asdict(one) | {"night": str(one.night), "horizon_d": one.horizon_s / 86_400}
        for one in found
    ]
    payload = {
        "open": standing,
        "nights": nights,
        "weeks": weeks,
        "control": controls,
        "truncated": nights_cut or weeks_cut,
    }
    tables = [
        _table(STANDING, standing, "Open"),
        _table(NIGHT, nights, "By night of judging"),
        _table(WEEK, weeks, "By week of posting"),
        _table(CONTROL, controls, "The newest night beside its limits"),
    ]
    text = "\n".join(part for part in tables if part) or "No forecast is in the ledger yet."
    if payload["truncated"]:
        text += cut_note(limit, "nights and weeks")
    emit(payload, as_json=as_json, text=text)


@ledger.command("list")
@click.option("--video", help="Only of this video, by its id.")
@click.option("--model", "model_name", help="Only of this model.")
@click.option("--horizon", type=DURATION, help="Only forecasts of this age, such as 7d.")
@click.option(
    "--status", type=click.Choice(["open", "judged", "unobserved"]), help="Only these forecasts."
)
@click.option(
    "--limit", default=20, show_default=True, type=click.IntRange(min=1), help="Rows at most."
)
@json_option
@pass_app
def ledger_list(
    app: App,
    video: str | None,
    model_name: str | None,
    horizon: timedelta | None,
    status: str | None,
    limit: int,
    as_json: bool,
) -> None:
    """List forecasts with what came of them, those of the newest run first."""
    from catalog.read import ledger as kept

    only = kept.Only(model_name, None if horizon is None else int(horizon.total_seconds()))
    with app.catalog_to_read.read() as session:
        more = kept.forecasts(session, limit + 1, only, tiktok_id=video, status=status)
    rows, is_cut = first_of(more, limit)
    text = _table(FORECAST, rows, "") or "No such forecast is in the ledger."
    text += cut_note(limit, "forecasts") if is_cut else ""
    emit({"forecasts": rows, "truncated": is_cut}, as_json=as_json, text=text)


def _table(columns: tuple[str, ...], rows: Any, title: str) -> str:
    if not rows:
        return ""
    return table(columns, [[row[name] for name in columns] for row in rows], title=title)
