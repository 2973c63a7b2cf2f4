"""The commands of the ledger, as a user calls them."""

from datetime import timedelta

import pytest
from sqlalchemy import select

from catalog.facts import PredictionFacts
from catalog.record.lineage import store_predictions
from catalog.record.sightings import store_sightings
from catalog.schema import types
from catalog.schema.tables import Video
from catalog.schema.types import utc_now
from catalog.work.runs import record_run
from tests.catalog.commands.test_commands import call, say
from tests.catalog.factories import SHA, add_model, seen, video_facts
from tests.fresh_catalog import ask

__all__ = ["say"]
DAY = timedelta(days=1)
WEEK_S = 7 * 86_400


@pytest.fixture
def forecast(catalog) -> str:
    """A forecast of a video that was posted yesterday, at an age of a week; the video's id."""
    posted_at = utc_now() - DAY
    facts = video_facts("7300000000000000001", posted_at=posted_at)
    with catalog.write() as session:
        store_sightings(session, [(facts, seen(at=utc_now()))], run_id=None, found_by="dance")
        video_id = session.scalars(select(Video.id)).one()
    with record_run(catalog, "score", params={}, model_version_id=add_model(catalog)) as run:
        fact = PredictionFacts(
            video_id, 20.0, None, None, None, None, SHA, "new", 5.0, 50.0, WEEK_S, posted_at
        )
        with catalog.write() as session:
            store_predictions(session, run.id, [fact])
        run.done()
    return facts.tiktok_id


def test_a_forecast_is_judged_shown_and_listed(say, catalog, forecast, tmp_path, monkeypatch):
    assert say("ledger", "judge", "--dry-run") == {"format": 1, "dry_run": True, "n_due": 0}
    [waiting] = say("ledger", "show")["open"]
    assert (waiting["model_name"], waiting["n_open"], waiting["n_due"]) == ("fused", 1, 0)

    later = utc_now() + 6.5 * DAY
    with catalog.write() as session:
        facts = video_facts(forecast)
        store_sightings(session, [(facts, seen(40.0, at=later))], run_id=None, found_by="dance")
    monkeypatch.setattr(types, "utc_now", lambda: later)
    assert say("ledger", "judge", "--dry-run")["n_due"] == 1
    assert ask(catalog, "SELECT status FROM judgement") == [("open",)]
    ended = say("ledger", "judge")
    assert (ended["kind"], ended["n_done"], ended["codes"]) == ("judge", 1, {})
    assert say("ledger", "judge")["n_total"] == 0

    metrics = {
        (row["part"], row["name"]): row["value"]
        for row in say("runs", "show", str(ended["run_id"]))["metrics"]
    }
    assert {part for part, _name in metrics} == {"ledger 7d"}
    assert metrics["ledger 7d", "n"] == metrics["ledger 7d", "coverage_80"] == 1

    shown = say("ledger", "show")
    assert shown["open"] == shown["control"] == []
    [night], [week] = shown["nights"], shown["weeks"]
    assert night["n"] == week["n"] == 1
    assert night["log_mae"] == pytest.approx(metrics["ledger 7d", "log_mae"])
    assert say("ledger", "show", "--model", "mean")["nights"] == []
    assert say("ledger", "show", "--horizon", "1d")["weeks"] == []
    assert "By week of posting" in call(catalog.url, tmp_path, "ledger", "show").output

    [listed] = say("ledger", "list", "--video", forecast)["forecasts"]
    assert (listed["status"], listed["judged_run_id"]) == ("judged", ended["run_id"])
    assert say("ledger", "list", "--status", "open")["forecasts"] == []
    assert forecast in call(catalog.url, tmp_path, "ledger", "list").output


def test_an_empty_ledger_says_so(catalog, tmp_path):
    assert "No forecast" in call(catalog.url, tmp_path, "ledger", "show").output
    assert "No such forecast" in call(catalog.url, tmp_path, "ledger", "list").output


def test_a_list_of_forecasts_is_cut_and_says_so(say, catalog, forecast):
    model_id = add_model(catalog, name="other")
    with record_run(catalog, "score", params={}, model_version_id=model_id) as run:
        with catalog.write() as session:
            video_id = session.scalars(select(Video.id)).one()
            due = PredictionFacts(
                video_id, 20.0, None, None, None, None, SHA, "new", None, None, WEEK_S, utc_now()
            )
            store_predictions(session, run.id, [due])
        run.done()
    cut = say("ledger", "list", "--limit", "1")
    assert cut["truncated"]
    assert [row["model_name"] for row in cut["forecasts"]] == ["other"]
    assert not say("ledger", "list", "--limit", "2")["truncated"]
