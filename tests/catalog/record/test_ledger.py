"""The ledger: forecasts are entered when they are made, and judged once, by what came after."""

import threading
from datetime import UTC, datetime, timedelta
from math import exp, log, log1p

import pytest
from sqlalchemy import event, select, text

from catalog.ages import AgeRule
from catalog.console import Silent
from catalog.facts import PredictionFacts
from catalog.record import ledger, lineage
from catalog.record.ledger import judge, judged_metrics, n_due
from catalog.record.lineage import store_predictions
from catalog.record.retention import find_to_purge, purge
from catalog.record.sightings import store_sightings
from catalog.schema.forecasts import Judgement, Prediction
from catalog.schema.session import Catalog
from catalog.schema.tables import Video
from catalog.work.runs import record_run
from tests.catalog.factories import SHA, add_model, add_videos, named, seen, video_facts
from tests.fresh_catalog import ask

POSTED = datetime(2026, 7, 1, 12, 0, tzinfo=UTC)
DAY = timedelta(days=1)
WEEK_S = 7 * 86_400
RULE = AgeRule(reach=0.5, tolerance=0.1)
KEPT = "status, truth_k, before_id, after_id, error_log, is_inside"


def at(days: float) -> datetime:
    return POSTED + days * DAY


def see(catalog: Catalog, tiktok_id: str, *counts: tuple[float, float]) -> int:
    """Add a video posted at POSTED, or counts of it: (days after, thousands)."""
    with catalog.write() as session:
        facts = video_facts(tiktok_id, posted_at=POSTED)
        sightings = [(facts, seen(views_k, at=at(days))) for days, views_k in counts]
        store_sightings(session, sightings, run_id=None, found_by="dance")
        return session.execute(select(Video.id).where(Video.tiktok_id == tiktok_id)).scalar_one()


def forecast(
    catalog: Catalog,
    model_id: int | None,
    *facts: PredictionFacts,
    on: datetime,
    monkeypatch: pytest.MonkeyPatch,
) -> int:
    """Store predictions as a run of that day does; its number."""
    kind = "train" if model_id is None else "score"
    with record_run(catalog, kind, params={}, model_version_id=model_id) as run:
        with monkeypatch.context() as clock, catalog.write() as session:
            clock.setattr(lineage, "utc_now", lambda: on)
            store_predictions(session, run.id, facts)
        run.done(len(facts))
    return run.id


def fact(video_id: int, predicted_k: float = 10.0, **changes: object) -> PredictionFacts:
    known: dict[str, object] = {"horizon_s": WEEK_S, "posted_at": POSTED, **changes}
    part = str(known.pop("part", "new"))
    return PredictionFacts(video_id, predicted_k, None, None, None, None, SHA, part, **known)  # type: ignore[arg-type] # a test's free hand


def judged(catalog: Catalog, on: datetime):
    """Judge what is due on a day; how the run ended."""
    with record_run(catalog, "judge", params={}) as run:
        judge(catalog, run, Silent(), now=on, rule=RULE)
    return run.outcome


@pytest.fixture
def model_id(catalog: Catalog) -> int:
    return add_model(catalog)


def test_a_forecast_is_judged_once_by_what_came_after_it(catalog, model_id, monkeypatch):
    video_id = see(catalog, "1", (1, 4.0))
    facts = fact(video_id, 10.0, low_k=2.0, high_k=30.0)
    run_id = forecast(catalog, model_id, facts, on=at(2), monkeypatch=monkeypatch)
    assert ask(catalog, "SELECT horizon_s FROM prediction") == [(WEEK_S,)]
    with catalog.read() as session:
        row = session.execute(select(Judgement)).scalar_one()
        assert session.scalar(select(Prediction.made_at)) == at(2)
    assert (row.run_id, row.model_version_id, row.status) == (run_id, model_id, "open")
    assert (row.made_at, row.due_at) == (at(2), at(7))

    # Before its time there is nothing to do, and right at it a count may still come.
    assert judged(catalog, at(6)).n_total == 0
    early = judged(catalog, at(7))
    assert (early.n_done, early.codes) == (0, {"not_yet": 1})

    see(catalog, "1", (5, 6.0), (9, 20.0))
    night = judged(catalog, at(9.5))
    assert (night.n_done, night.codes, night.status) == (1, {}, "ok")
    # By hand: between 6000 and 20000 views ln(1 + views) grows evenly with the log of the age.
    share = log(7 / 5) / log(9 / 5)
    ends = log(6_001), log(20_001)
    truth = (exp(ends[0] + share * (ends[1] - ends[0])) - 1) / 1_000
    [kept] = ask(catalog, f"SELECT {KEPT}, truth_low_k, truth_high_k FROM judgement")
    assert kept[0] == "judged"
    assert kept[1] == pytest.approx(truth)
    assert kept[2:4] == (2, 3)
    assert kept[4] == pytest.approx(log1p(10_000) - log1p(truth * 1_000))
    assert bool(kept[5]) is True
    assert kept[6] < truth < kept[7]

    # A better count that is imported later, a second night, another rule: nothing changes.
    see(catalog, "1", (7, 15.0))
    again = judged(catalog, at(30))
    assert again.n_total == 0
    assert ask(catalog, f"SELECT {KEPT}, truth_low_k, truth_high_k FROM judgement") == [kept]


def test_counts_that_were_known_are_never_the_truth(catalog, model_id, monkeypatch):
    # Both counts around the age that a forecast of day 3 could be judged by are older than it.
    early, late = (see(catalog, name, (2.5, 4.0)) for name in ("1", "2"))
    facts = [fact(video_id, horizon_s=3 * 86_400) for video_id in (early, late)]
    forecast(catalog, model_id, *facts, on=at(2.9), monkeypatch=monkeypatch)
    see(catalog, "1", (2.8, 5.0))  # imported afterwards, but seen before
    see(catalog, "2", (2.8, 5.0), (3.2, 6.0))

    ended = judged(catalog, at(10))

    assert ended.codes == {"unobserved": 1}
    rows = ask(catalog, f"SELECT {KEPT} FROM judgement ORDER BY video_id")
    assert rows[0] == ("unobserved", None, None, None, None, None)
    # One count alone, a fifteenth after that age: what the older ones would say is not looked at.
    assert rows[1][0] == "judged"
    assert rows[1][1] == pytest.approx(6.0 * (3 / 3.2) ** 0.5)
    assert rows[1][2] is None
    assert rows[1][5] is None  # no interval was stated


def test_what_is_no_forecast_is_not_entered(catalog, model_id, monkeypatch):
    ids = [see(catalog, str(i), (1, 4.0)) for i in range(5)]
    facts = [
        fact(ids[0], horizon_s=None),
        fact(ids[1], posted_at=None),
        fact(ids[2], horizon_s=2 * 86_400),  # the video is of that age just now
        fact(ids[3]),
    ]
    forecast(catalog, model_id, *facts, on=at(2), monkeypatch=monkeypatch)
    forecast(catalog, None, fact(ids[4]), on=at(2), monkeypatch=monkeypatch)
    assert ask(catalog, "SELECT video_id FROM judgement") == [(ids[3],)]
    assert ask(catalog, "SELECT COUNT(*) FROM prediction WHERE made_at IS NOT NULL") == [(5,)]


def test_the_first_forecast_of_a_version_counts(catalog, model_id, monkeypatch):
    video_id = see(catalog, "1", (1, 4.0))
    first = forecast(catalog, model_id, fact(video_id, 10.0), on=at(2), monkeypatch=monkeypatch)
    forecast(catalog, model_id, fact(video_id, 11.0), on=at(3), monkeypatch=monkeypatch)
    second = add_model(catalog, name="other")
    other = forecast(catalog, second, fact(video_id, 12.0), on=at(4), monkeypatch=monkeypatch)
    month = fact(video_id, 13.0, horizon_s=30 * 86_400)
    later = forecast(catalog, model_id, month, on=at(8), monkeypatch=monkeypatch)
    rows = ask(catalog, "SELECT run_id, horizon_s FROM judgement ORDER BY run_id")
    assert rows == [(first, WEEK_S), (other, WEEK_S), (later, 30 * 86_400)]
    # One that is already there stays as it is, and so does its judgement.
    with catalog.write() as session:
        assert store_predictions(session, first, [fact(video_id, 99.0)]) == 0
    assert len(ask(catalog, "SELECT 1 FROM judgement")) == 3


def test_forecasts_of_one_video_are_each_judged_by_what_came_after_them(
    catalog, model_id, monkeypatch
):
    video_id = see(catalog, "1", (1, 4.0))
    models = [model_id, add_model(catalog, name="other"), add_model(catalog, name="third")]
    for model, day in zip(models, (2, 6.2, 6.9), strict=True):
        forecast(catalog, model, fact(video_id), on=at(day), monkeypatch=monkeypatch)
    see(catalog, "1", (6.1, 5.0), (6.5, 6.0), (7.5, 9.0))
    assert judged(catalog, at(8)).n_done == 3
    rows = ask(catalog, "SELECT before_id, after_id FROM judgement ORDER BY run_id")
    assert rows == [(3, 4), (3, 4), (None, 4)]


def test_a_corrected_time_of_posting_moves_nothing(catalog, model_id, monkeypatch):
    video_id = see(catalog, "1", (1, 4.0))
    forecast(catalog, model_id, fact(video_id), on=at(2), monkeypatch=monkeypatch)
    with catalog.write() as session:
        moved = {"at": str(at(3).replace(tzinfo=None)), "id": video_id}
        session.execute(text("UPDATE video SET posted_at = :at WHERE id = :id"), moved)
    see(catalog, "1", (7, 8.0))
    assert judged(catalog, at(7.1)).n_done == 1
    assert ask(catalog, "SELECT truth_k, before_id FROM judgement") == [(8.0, 2)]


def test_the_truth_and_not_its_bounds_is_inside_or_not(catalog, model_id, monkeypatch):
    ids = [see(catalog, str(i), (1, 4.0)) for i in range(3)]
    facts = [
        fact(ids[0], 9.0, low_k=8.0, high_k=20.0),  # the lower end is the truth
        fact(ids[1], 9.0, low_k=8.01, high_k=20.0),  # its bound of 8.1 is inside, it is not
        fact(ids[2], 9.0, low_k=1.0, high_k=7.0),
    ]
    forecast(catalog, model_id, *facts, on=at(2), monkeypatch=monkeypatch)
    for i in range(3):
        see(catalog, str(i), (7, 8.0))
    judged(catalog, at(7.1))
    rows = ask(catalog, "SELECT is_inside FROM judgement ORDER BY video_id")
    assert [bool(row[0]) for row in rows] == [True, False, False]


def test_a_run_has_the_errors_of_what_it_judged(catalog, model_id, monkeypatch):
    ids = [see(catalog, str(i), (0.5, 1.0)) for i in range(4)]
    ends = {"low_k": 5.0, "high_k": 20.0}
    facts = [fact(ids[0], 10.0, **ends), fact(ids[1], 1.0, low_k=0.5, high_k=2.0)]
    facts += [fact(ids[2], 500.0, part="train"), fact(ids[3], 3.0, horizon_s=86_400)]
    forecast(catalog, model_id, *facts, on=at(0.6), monkeypatch=monkeypatch)
    for i in range(3):
        see(catalog, str(i), (7, 8.0))
    see(catalog, "3", (1, 3.0))
    with record_run(catalog, "judge", params={}) as run:
        judge(catalog, run, Silent(), now=at(7), rule=RULE)
        with catalog.read() as session:
            found = dict(judged_metrics(session, run.id, at(7)))
    errors = [log1p(10_000) - log1p(8_000), log1p(1_000) - log1p(8_000)]
    assert run.outcome.n_done == 4
    assert list(found) == [86_400, WEEK_S]
    # Without the one that the model was taught; where none stated an interval there is no coverage.
    assert found[WEEK_S] == pytest.approx(
        {
            "n": 2,
            "log_mae": (errors[0] - errors[1]) / 2,
            "bias_log": sum(errors) / 2,
            "mae_k": (2 + 7) / 2,
            "mse_k2": (4 + 49) / 2,
            "coverage_80": 0.5,
        }
    )
    assert found[86_400] == {"n": 1, "log_mae": 0, "bias_log": 0, "mae_k": 0, "mse_k2": 0}


@pytest.fixture
def twelve(catalog, model_id, monkeypatch) -> list[int]:
    """Twelve forecasts that are due, and a page of five."""
    monkeypatch.setattr(ledger, "PAGE", 5)
    ids = [see(catalog, str(i), (1, 4.0)) for i in range(12)]
    facts = [fact(video_id) for video_id in ids]
    forecast(catalog, model_id, *facts, on=at(2), monkeypatch=monkeypatch)
    for i in range(12):
        if i % 3 == 0:  # of the others nobody ever knows
            see(catalog, str(i), (7, 8.0))
    return ids


def statuses(catalog: Catalog) -> dict[str, int]:
    return dict(ask(catalog, "SELECT status, COUNT(*) FROM judgement GROUP BY status"))


def test_a_run_that_ends_between_pages_is_gone_on_with(catalog, twelve, monkeypatch):
    class Killed(BaseException):
        pass

    class Stops(Silent):
        def advance(self, n: int = 1) -> None:
            raise Killed(n)

    with pytest.raises(Killed), record_run(catalog, "judge", params={}) as run:
        judge(catalog, run, Stops(), now=at(8), rule=RULE)
    assert statuses(catalog) == {"judged": 2, "open": 10}
    assert judged(catalog, at(8)).codes == {"not_yet": 8}
    assert statuses(catalog) == {"judged": 4, "open": 8}
    assert judged(catalog, at(11)).codes == {"unobserved": 8}
    assert statuses(catalog) == {"judged": 4, "unobserved": 8}
    assert len(set(ask(catalog, "SELECT judged_run_id FROM judgement"))) == 3


def test_a_page_that_fails_closes_none_of_its_rows(catalog, twelve, monkeypatch):
    closing = ledger._close

    def fails(session, rows, by) -> None:
        closing(session, rows, by)
        raise ZeroDivisionError

    with monkeypatch.context() as broken:
        broken.setattr(ledger, "_close", fails)
        with pytest.raises(ZeroDivisionError):
            judged(catalog, at(11))
    assert statuses(catalog) == {"open": 12}
    assert judged(catalog, at(11)).n_done == 4


def test_two_that_judge_at_once_judge_each_once(catalog, twelve):
    outcomes, start = [], threading.Barrier(2)

    def night() -> None:
        start.wait()
        outcomes.append(judged(catalog, at(11)))

    threads = [threading.Thread(target=night) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sum(outcome.n_done for outcome in outcomes) == 4
    assert sum(outcome.codes.get("unobserved", 0) for outcome in outcomes) == 8
    by = dict(ask(catalog, "SELECT judged_run_id, COUNT(*) FROM judgement GROUP BY judged_run_id"))
    assert by == {one.run_id: one.n_done + one.n_skipped for one in outcomes if one.n_total}


def test_a_closed_row_is_not_closed_again(catalog, twelve):
    with catalog.read() as session:
        page = session.execute(ledger._page(at(11), (at(-99), 0, 0))).all()
        found = ledger._truths(session, page, now=at(11), rule=RULE)
    assert judged(catalog, at(11)).n_done == 4
    before = ask(catalog, f"SELECT {KEPT}, judged_run_id FROM judgement")
    with record_run(catalog, "judge", params={}) as late, catalog.write() as session:
        rows = [ledger._closed(*pair) for pair in zip(page, found, strict=True)]
        ledger._close(session, rows, {"judged_at": at(12), "judged_run_id": late.id})
    assert ask(catalog, f"SELECT {KEPT}, judged_run_id FROM judgement") == before


def test_judgements_go_with_their_video(catalog, twelve):
    judged(catalog, at(8))
    with catalog.read() as session:
        assert find_to_purge(session, named(["0", "1"])).missing == ()
    with catalog.erase() as session:
        assert purge(session, named([str(i) for i in range(7)]), reason="asked").n_predictions == 7
    assert ask(catalog, "SELECT COUNT(*) FROM judgement") == [(5,)]
    assert statuses(catalog) == {"judged": 1, "open": 4}
    indexes = ask(catalog, "SELECT name FROM sqlite_master WHERE name LIKE 'purging%'") if (
        catalog.url.startswith("sqlite")
    ) else []  # fmt: skip
    assert indexes == []


def test_many_that_wait_are_read_by_the_page(catalog, model_id, monkeypatch):
    """The rows that one statement reads, and their number, do not grow with what waits."""
    n = 2_000
    monkeypatch.setattr(ledger, "PAGE", 100)
    ids = add_videos(catalog, n)
    forecast(catalog, model_id, *map(fact, ids), on=at(2), monkeypatch=monkeypatch)
    with catalog.read() as session:
        assert (n_due(session, at(6.9)), n_due(session, at(7))) == (0, n)

    statements: list[str] = []
    event.listen(catalog.engine, "before_cursor_execute", lambda *args: statements.append(args[2]))
    assert judged(catalog, at(7)).codes == {"not_yet": n}
    n_waiting = sum("judgement" in statement for statement in statements)
    assert n_waiting <= n / 100 + 2
    statements.clear()
    assert judged(catalog, at(6)).n_total == 0
    assert sum("judgement" in statement for statement in statements) == 1
    assert judged(catalog, at(11)).codes == {"unobserved": n}
