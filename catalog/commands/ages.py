"""The command about views at fixed ages: ages."""

from typing import TYPE_CHECKING, Any

import click

from catalog.ages import age_text
from catalog.console import App, dry_run_option, emit, emit_outcome, json_option, pass_app

if TYPE_CHECKING:
    from catalog.work.runs import Outcome


@click.command()
@json_option
@dry_run_option
@pass_app
def ages(app: App, as_json: bool, dry_run: bool) -> None:
    """Bring the views of videos at fixed ages (setting `ages.days`) up to date.

    Only what is new is looked at; `v_views_at_age` shows the result.
    """
    from catalog.record.ages import ages_to_do, n_known_by_age

    if dry_run:
        with app.catalog.read() as session:
            found = ages_to_do(session, app.settings.ages.all_s, app.settings.ages.rule)
        payload: dict[str, Any] = {
            "begun": [age_text(age_s) for age_s in found.begun],
            "dropped": [age_text(age_s) for age_s in found.dropped],
            "n_observations": found.n_observations,
            "n_videos_closing": found.n_videos_closing,
        }
        emit({"dry_run": True, **payload}, as_json=as_json)
        return
    outcome = run_ages(app, quiet=as_json)
    with app.catalog.read() as session:
        known = {age_text(age_s): n for age_s, n in n_known_by_age(session).items()}
    emit_outcome(outcome, as_json=as_json, extra={"n_known": known})


def run_ages(app: App, *, quiet: bool, parent_id: int | None = None) -> "Outcome":  # noqa: ARG001 - every stage of a night is called alike
    """Bring the views at the ages of the settings up to date."""
    from catalog.record.ages import keep_ages

    settings = app.settings.ages
    return keep_ages(app.catalog, settings.all_s, settings.rule, parent_id=parent_id)
