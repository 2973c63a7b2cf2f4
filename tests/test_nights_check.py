"""What the check of simulated nights says of a ledger that is right, and of one that is not."""

import math
import sqlite3
from contextlib import closing
from datetime import timedelta

import pytest

from bench.nights_check import DAY_S, Findings, Nights, check_ages, check_counts, check_judgements
from bench.nights_world import Plan
from scraper.replica.content import build_content
from scraper.replica.growth import vanishing_day, views_at_age
from scraper.replica.items import round_count
from tests.fresh_catalog import fresh_catalog

CONTENT = build_content(Plan(n_nights=3).site)
POST = next(v for v in CONTENT.to_come if vanishing_day(v) is None and v.views > 50_000)
MADE_H, BEFORE_H, AFTER_H, JUDGED_H = 6, 20, 30, 31
PREDICTED_K = 12.5


def at(hours):
    """A moment of the post's life as SQLite stores it."""
    moment = POST.created_at + timedelta(hours=hours)
    return moment.replace(tzinfo=None).isoformat(" ", "microseconds")


def count_k(hours):
    return round_count(views_at_age(POST, hours * 3600)) / 1_000


def step_k(hours):
    return 0.1 if count_k(hours) >= 10 else 0.0


def truth_k():
    """Between the two counts, evenly in the logarithms of age and views."""
    share = math.log(24 / BEFORE_H) / math.log(AFTER_H / BEFORE_H)
    low, high = (math.log1p(count_k(hours) * 1_000) for hours in (BEFORE_H, AFTER_H))
    return math.expm1(low + share * (high - low)) / 1_000


def error_log():
    return math.log1p(PREDICTED_K * 1_000) - math.log1p(truth_k() * 1_000)


@pytest.fixture
def rows(tmp_path):
    """A catalog with one post, three counts, and a forecast that was judged a day after it."""
    with fresh_catalog(tmp_path):
        pass
    bounds = {"low_k": count_k(BEFORE_H) - 0.1, "high_k": count_k(AFTER_H) + 0.1}
    made = {
        "run": [
            {"id": 1, "kind": "score", "status": "ok", "model_version_id": 1},
            {"id": 2, "kind": "judge", "status": "ok", "model_version_id": None},
        ],
        "video": [
            {
                "id": 1,
                "tiktok_id": POST.tiktok_id,
                "platform": "tiktok",
                "url": "",
                "caption": "",
                "posted_at": at(0),
                "first_seen_at": at(MADE_H),
            }
        ],
        "view_observation": [
            {
                "id": number,
                "video_id": 1,
                "observed_at": at(hours),
                "display_text": "",
                "views_k": count_k(hours),
                "step_k": step_k(hours),
                "source": "xhr",
            }
            for number, hours in enumerate((MADE_H, BEFORE_H, AFTER_H), start=1)
        ],
        "prediction": [
            {
                "run_id": 1,
                "video_id": 1,
                "part": "new",
                "predicted_k": PREDICTED_K,
                "inputs_sha256": "",
                "made_at": at(MADE_H),
                "horizon_s": DAY_S,
            }
        ],
        "judgement": [
            {
                "run_id": 1,
                "video_id": 1,
                "model_version_id": 1,
                "horizon_s": DAY_S,
                "made_at": at(MADE_H),
                "due_at": at(24),
                "status": "judged",
                "truth_k": truth_k(),
                "truth_low_k": bounds["low_k"],
                "truth_high_k": bounds["high_k"],
                "before_id": 2,
                "after_id": 3,
                "error_log": error_log(),
                "judged_at": at(JUDGED_H),
            }
        ],
        "reported_age": [{"age_s": DAY_S, "reach": 0.5, "tolerance": 0.1, "read_to_id": 3}],
        "views_at_age": [
            {
                "video_id": 1,
                "age_s": DAY_S,
                "views_k": truth_k(),
                "method": "interpolated",
                **bounds,
            }
        ],
    }
    common = {
        "run": {
            "trigger": "manual",
            "started_at": at(24 * 3),
            "heartbeat_at": at(24 * 3),
            "finished_at": at(24 * 3),
            "host": "",
            "pid": 1,
            "process": "",
            "code_version": "",
            "params": "{}",
            "params_hash": "",
            "env": "{}",
            "n_done": 0,
            "n_failed": 0,
            "n_skipped": 0,
        }
    }
    with closing(sqlite3.connect(tmp_path / "catalog.db")) as connection, connection:
        for table, found in made.items():
            for number, row in enumerate(found):
                whole = common.get(table, {}) | ({"uid": str(number)} if table == "run" else {})
                whole |= row
                marks = ", ".join(f":{name}" for name in whole)
                connection.execute(
                    f"INSERT INTO {table} ({', '.join(whole)}) VALUES ({marks})", whole
                )
    return tmp_path


def said_of(folder, *changes):
    """What is wrong after some statements, and the numbers."""
    with closing(sqlite3.connect(folder / "catalog.db")) as connection, connection:
        for change in changes:
            connection.execute(change)
    nights, found = Nights(folder, CONTENT), Findings()
    with closing(nights):
        check_counts(nights, found)
        check_judgements(nights, found)
        check_ages(nights, found)
    return [line.partition(":")[0] for line in found.wrong], found


def test_a_ledger_that_is_right_is_told_so(rows):
    wrong, found = said_of(rows)
    assert wrong == []
    assert found.facts["counts of new posts"] == 3
    assert found.facts["ledger"]["rows"] == {"judged": 1}
    off = math.log1p(views_at_age(POST, DAY_S)) - math.log1p(truth_k() * 1_000)
    ledger = found.against_law["errors in the ledger"]
    assert (ledger["in bounds"], ledger["median"]) == ("1/1", round(off, 4))
    ages = found.against_law["views at 1 d, interpolated"]
    assert (ages["in bounds"], ages["median"]) == ("1/1", round(-off, 4))


OPEN = "status = 'open', truth_k = NULL, truth_low_k = NULL, truth_high_k = NULL, error_log = NULL"


@pytest.mark.parametrize(
    ("change", "wrong"),
    [
        ("UPDATE judgement SET truth_k = truth_k * 1.01", "another truth than the counts give"),
        ("UPDATE judgement SET error_log = 0.25", "errors that are not forecast less truth"),
        ("UPDATE judgement SET before_id = 1", "judged by a count seen before the forecast"),
        (f"UPDATE judgement SET judged_at = '{at(23)}'", "judged before the age"),
        (f"UPDATE judgement SET due_at = '{at(25)}'", "ledger rows due at another time"),
        (f"UPDATE judgement SET {OPEN}, judged_at = NULL", "ledger rows that should be closed"),
        (
            f"UPDATE judgement SET {OPEN.replace('open', 'unobserved')}",
            "closed without a truth that was there",
        ),
        ("DELETE FROM judgement", "forecasts that no row waits for"),
        ("UPDATE view_observation SET views_k = 1 + views_k", "counts that the law does not give"),
    ],
)
def test_what_is_not_right_is_named(rows, change, wrong):
    assert wrong in said_of(rows, change)[0]


def test_bounds_that_do_not_hold_the_law_are_counted(rows):
    narrow = "UPDATE views_at_age SET low_k = views_k * 3, high_k = views_k * 3"
    found = said_of(rows, narrow)[1]
    assert found.against_law["views at 1 d, interpolated"]["in bounds"] == "0/1"
