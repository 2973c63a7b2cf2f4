"""The ledger as it is read: by night, by week, by forecast, and beside its control limits."""

import random
from datetime import UTC, date, datetime, timedelta
from math import comb

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import text

from catalog.facts import PredictionFacts
from catalog.read import drift
from catalog.read import ledger as kept
from catalog.read.drift import Night, coverage_chart, error_charts, pooled
from catalog.record import lineage
from catalog.record.lineage import store_predictions
from catalog.schema.session import Catalog
from catalog.work.runs import record_run
from tests.catalog.factories import SHA, add_model, add_videos

MONDAY = datetime(2026, 6, 29, tzinfo=UTC)
DAY = timedelta(days=1)
D0 = date(2026, 1, 1)
WEEK_S = 7 * 86_400


def add_forecasts(
    catalog: Catalog,
    model_id: int,
    monkeypatch: pytest.MonkeyPatch,
    rows: list[tuple[int, float, dict[str, object]]],
) -> None:
    """Enter forecasts of 10,000 views and what came of them: (video, day of posting, columns)."""
    with record_run(catalog, "score", params={}, model_version_id=model_id) as run:
        facts = [
            PredictionFacts(
                video_id, 10.0, None, None, None, None, SHA, str(columns.pop("part", "new")),
                5.0, 20.0, WEEK_S, MONDAY + day * DAY,
            )
            for video_id, day, columns in rows
        ]  # fmt: skip
        with monkeypatch.context() as clock, catalog.write() as session:
            clock.setattr(lineage, "utc_now", lambda: MONDAY + DAY)
            store_predictions(session, run.id, facts)
        with catalog.write() as session:
            for video_id, _day, columns in rows:
                if not columns:
                    continue
                sets = ", ".join(f"{name} = :{name}" for name in columns)
                where = f"UPDATE judgement SET {sets} WHERE run_id = :r AND video_id = :v"
                session.execute(text(where), {**columns, "r": run.id, "v": video_id})


def came(night: float, truth_k: float, error_log: float, is_inside: bool | None = True):
    at = str((MONDAY + night * DAY).replace(tzinfo=None))
    return {
        "status": "judged", "judged_at": at, "truth_k": truth_k, "error_log": error_log,
        "is_inside": is_inside,
    }  # fmt: skip


def lost(night: float):
    return {"status": "unobserved", "judged_at": str((MONDAY + night * DAY).replace(tzinfo=None))}


@pytest.fixture
def filled(catalog, monkeypatch) -> list[int]:
    """Eight forecasts of two weeks of posting, most of them judged in two nights."""
    ids = add_videos(catalog, 8)
    outcomes: list[tuple[float, dict[str, object]]] = [
        (0, came(7.2, 8.0, 0.2)),
        (1, came(7.9, 40.0, -1.4, is_inside=False)),
        (6.9, came(14.1, 10.0, 0.0, is_inside=None)),
        (7, lost(14.1)),
        (8, {}),
        (-0.1, came(7.2, 5.0, 0.7)),
        (2, lost(14.1)),
        (0, came(7.2, 99.0, -2.0) | {"part": "train"}),
    ]
    rows = [(video_id, *outcome) for video_id, outcome in zip(ids, outcomes, strict=True)]
    add_forecasts(catalog, add_model(catalog), monkeypatch, rows)
    return ids


def test_nights_have_the_errors_of_what_was_judged_in_them(catalog, filled):
    with catalog.read() as session:
        newest, before = kept.nights(session, 9)
    assert (newest["night"], newest["n"], newest["n_unobserved"]) == ("2026-07-13", 1, 2)
    assert (newest["n_intervals"], newest["coverage"], newest["log_mae"]) == (0, None, 0.0)
    assert (before["night"], before["n"], before["n_unobserved"]) == ("2026-07-06", 3, 0)
    assert before["log_mae"] == pytest.approx((0.2 + 1.4 + 0.7) / 3)
    assert before["bias_log"] == pytest.approx((0.2 - 1.4 + 0.7) / 3)
    assert before["mae_k"] == pytest.approx((2 + 30 + 5) / 3)
    assert before["mse_k2"] == pytest.approx((4 + 900 + 25) / 3)
    assert before["coverage"] == pytest.approx(2 / 3)
    assert before["days_ahead"] == pytest.approx((6 + 7 + 5.9) / 3)
    assert before["horizon_d"] == 7


def test_weeks_are_those_of_posting_and_count_what_waits(catalog, filled):
    with catalog.read() as session:
        found = kept.weeks(session, 9)
    counts = [(row["week"], row["n"], row["n_open"], row["n_unobserved"]) for row in found]
    assert counts == [("2026-07-06", 0, 1, 1), ("2026-06-29", 3, 0, 1), ("2026-06-22", 1, 0, 0)]
    assert found[0]["log_mae"] is None
    assert found[1]["log_mae"] == pytest.approx((0.2 + 1.4 + 0) / 3)


def test_a_gap_is_between_a_forecast_and_the_views_at_its_age(catalog, filled):
    with catalog.read() as session:
        named = "SELECT video_id, horizon_s, views_k, verdict FROM v_performance_gap"
        found = {row[0]: row[1:] for row in session.execute(text(named))}
        latest = "SELECT COUNT(*) FROM video WHERE latest_observation_id IS NOT NULL"
        assert session.execute(text(latest)).scalar_one() == len(filled)
    views = {filled[0]: 8.0, filled[1]: 40.0, filled[2]: 10.0, filled[5]: 5.0, filled[7]: 99.0}
    assert {video: row[1] for video, row in found.items()} == views
    assert {row[0] for row in found.values()} == {WEEK_S}
    assert (found[filled[1]][2], found[filled[0]][2]) == ("over", "as predicted")


def test_what_waits_is_told_with_what_is_due_of_it(catalog, filled):
    with catalog.read() as session:
        [early] = kept.standing(session, MONDAY + 14 * DAY)
        [late] = kept.standing(session, MONDAY + 15 * DAY)
        assert kept.standing(session, MONDAY, kept.Only("another")) == []
    assert (early["n_open"], early["n_due"], late["n_open"], late["n_due"]) == (1, 0, 1, 1)


def test_forecasts_are_listed_by_video_status_and_age(catalog, filled):
    with catalog.read() as session:
        every = kept.forecasts(session, 99)
        [one] = kept.forecasts(session, 9, tiktok_id="7300000000000000002")
        unseen = kept.forecasts(session, 9, status="unobserved")
        assert kept.forecasts(session, 9, kept.Only(horizon_s=1)) == []
        assert len(kept.forecasts(session, 9, kept.Only("fused", WEEK_S), status="open")) == 1
    assert len(every) == 8  # those that the model was taught are named, and marked
    assert sorted(row["part"] for row in every)[-1] == "train"
    assert [row["video_id"] for row in every] == filled[::-1]
    assert (one["error_k"], one["error_log"], bool(one["is_inside"])) == (-30.0, -1.4, False)
    assert {row["status"] for row in unseen} == {"unobserved"}


def test_drift_is_read_by_model_and_horizon(catalog, monkeypatch):
    rng = random.Random(0)
    n_nights, per_night = 16, 25
    ids = add_videos(catalog, n_nights * per_night)
    nights = [i // per_night for i in range(len(ids))]
    rows = [
        (video_id, 0.0, came(8 + night, 9.0, rng.gauss(1.0 if night == 15 else 0, 0.5)))
        for video_id, night in zip(ids, nights, strict=True)
    ]
    # What the model was taught is no forecast.
    rows[0][2].update(error_log=1e6, part="train")
    add_forecasts(catalog, add_model(catalog), monkeypatch, rows)
    with catalog.read() as session:
        error, bias = drift.error_drift(session, "fused", horizon_s=WEEK_S)
        covered = drift.coverage_off(session, "fused", horizon_s=WEEK_S)
        assert drift.controls(session) == [error, bias, covered]
        assert drift.error_drift(session, "fused", horizon_s=86_400) == []
        assert drift.coverage_off(session, "mean", horizon_s=WEEK_S) is None
    assert (bias.what, bias.night, bias.n, bias.n_nights) == ("bias_log", date(2026, 7, 22), 25, 15)
    assert bias.is_out
    assert bias.limit == bias.high < bias.value
    assert abs(bias.centre) < 0.1
    assert error.is_out
    # Every interval held the truth, as none of these does by itself.
    assert covered is not None
    assert (covered.value, covered.is_out, covered.n) == (1.0, True, 200)


def normal_night(rng: random.Random, i: int, n: int, scale: float = 1, bias: float = 0) -> Night:
    errors = [rng.gauss(bias, scale) for _ in range(n)]
    inside = sum(abs(error) < 1.2816 for error in errors)
    squared = sum(error * error for error in errors)
    absolute = sum(map(abs, errors))
    return Night(D0 + i * DAY, n, absolute, sum(errors), squared, n, inside)


def out(nights: list[Night]) -> dict[str, bool]:
    charts = error_charts("m", WEEK_S, nights)
    covered = coverage_chart("m", WEEK_S, nights)
    return {one.what: one.is_out for one in [*charts, *([covered] if covered else [])]}


def test_without_drift_there_is_hardly_an_alarm_in_a_year():
    rng = random.Random(1)
    nights = [normal_night(rng, i, rng.randint(20, 60)) for i in range(365)]
    alarms = [any(out(nights[: i + 1][-80:]).values()) for i in range(365)]
    assert sum(alarms) <= 3


@pytest.mark.parametrize(
    ("change", "what", "within"), [({"scale": 1.5}, "log_mae", 4), ({"bias": 0.5}, "bias_log", 5)]
)
def test_a_shift_is_seen_within_nights_and_seen_on(change, what, within):
    rng = random.Random(2)
    nights = [normal_night(rng, i, rng.randint(30, 60)) for i in range(60)]
    assert not any(out(nights).values())
    seen = []
    for i in range(10):
        nights.append(normal_night(rng, 60 + i, rng.randint(30, 60), **change))
        seen.append(out(nights)[what])
    assert True in seen[:within]
    assert all(seen[within:])


def test_a_smaller_error_is_no_alarm():
    rng = random.Random(3)
    nights = [normal_night(rng, i, 40) for i in range(40)]
    nights += [normal_night(rng, 40 + i, 40, scale=0.2) for i in range(5)]
    assert not out(nights)["log_mae"]


def test_nothing_is_said_before_there_is_enough():
    rng = random.Random(4)
    nights = [normal_night(rng, i, 30) for i in range(drift.LEAST_NIGHTS)]
    assert error_charts("m", WEEK_S, nights) == []
    assert len(error_charts("m", WEEK_S, [*nights, normal_night(rng, 14, 30)])) == 2
    assert error_charts("m", WEEK_S, [normal_night(rng, i, 1) for i in range(200)]) == []
    assert coverage_chart("m", WEEK_S, nights[: drift.COVERED_NIGHTS - 1]) is None
    assert coverage_chart("m", WEEK_S, nights[: drift.COVERED_NIGHTS]) is not None
    assert out([]) == {}


def test_errors_that_are_all_alike_have_no_room():
    night = Night(D0, 20, 20.0, 20.0, 20.0, 0, 0)
    charts = error_charts("m", WEEK_S, [night] * 20)
    assert [(one.value, one.high, one.is_out) for one in charts] == [(1.0, 1.0, False)] * 2
    worse = Night(D0, 20, 22.0, 22.0, 24.2, 0, 0)
    assert all(one.is_out for one in error_charts("m", WEEK_S, [*[night] * 20, worse]))


def test_coverage_has_binomial_limits():
    nights = [Night(D0 + i * DAY, 20, 0, 0, 0, 20, 16) for i in range(20)]
    chart = coverage_chart("m", WEEK_S, nights)
    assert chart is not None
    n = drift.INTERVALS
    low, high = round(chart.low * n), round(chart.high * n)

    def chance(counts: range) -> float:
        return sum(comb(n, k) * 0.8**k * 0.2 ** (n - k) for k in counts)

    assert chance(range(low)) <= drift.TAIL < chance(range(low + 1))
    assert chance(range(high + 1, n + 1)) <= drift.TAIL < chance(range(high, n + 1))
    assert (chart.value, chart.n, chart.is_out) == (0.8, 200, False)
    worse = [Night(D0 + i * DAY, 20, 0, 0, 0, 20, 13) for i in range(20)]
    found = coverage_chart("m", WEEK_S, worse)
    assert found is not None
    assert found.is_out
    assert found.limit == found.low


@given(st.lists(st.integers(0, 50), max_size=40))
def test_nights_taken_together_keep_their_sums_and_the_newest_date(ns):
    nights = [Night(D0 + i * DAY, n, n, -n, 2 * n, n, 0) for i, n in enumerate(ns)]
    groups = pooled(nights)
    assert all(group.n >= drift.LEAST_FORECASTS for group in groups)
    n_kept = sum(group.n for group in groups)
    assert sum(group.error for group in groups) == -n_kept
    # Only the oldest ones may be left out, too few as they are.
    assert 0 <= sum(ns) - n_kept < drift.LEAST_FORECASTS
    if groups:
        assert groups[-1].night == nights[-1].night
