"""A few nights of the long simulation: what a night leaves when it is killed, or has no site."""

import shutil
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from bench.nights import page, planned, run
from bench.nights_check import check
from bench.nights_world import STRIKES, Plan

pytestmark = [pytest.mark.chromium, pytest.mark.ffmpeg]

PLAN = Plan(
    n_nights=3,
    n_killed=1,
    n_down=1,
    posts_per_day=2,
    per_topic=2,
    workers=0,
    labels=(),
    looks_h=(14,),
)


@pytest.fixture(scope="module")
def nights(tmp_path_factory):
    """The folder of the nights, and what came of them."""
    folder = tmp_path_factory.mktemp("nights") / "world"
    return folder, run(folder, PLAN, n_still=0)


def test_nights_are_done_once_and_nothing_is_lost(nights):
    _folder, result = nights
    assert result.findings.wrong == []
    assert result.findings.facts["slots of nightly"]["done"] == 3
    assert result.findings.facts["slots of refresh"]["done"] >= 3
    assert result.findings.facts["posts"]["to see"] >= 4
    assert result.findings.facts["counts of new posts"] > 4
    assert sum(night.killed is not None for night in result.nights) == 1
    assert sum(night.is_down for night in result.nights) == 1
    assert all(night.n_refused >= 1 for night in result.nights)


def test_the_page_names_every_night(nights):
    _folder, result = nights
    text = page(result)
    assert all(f"| {PLAN.slot(number)} |" in text for number in range(3))


def test_the_check_sees_what_is_wrong(nights, tmp_path):
    folder, _result = nights
    data = tmp_path / "data"
    shutil.copytree(folder / "data", data)
    next((data / "media").rglob("*.mp4")).unlink()
    other_site = replace(PLAN.site, seed=1)
    slots = planned(replace(PLAN, n_nights=4))
    found = check(data, PLAN.site, slots, tmp_path)
    assert [line.partition(", such as")[0] for line in found.wrong] == [
        "nightly: slots not done: 1",
        "refresh: slots not done: 1",
        "rows without their file: 1",
    ]
    with pytest.raises(KeyError):
        check(data, other_site, slots, tmp_path)


def test_nights_are_due_at_the_first_two_thirty_of_their_day_or_an_hour_later():
    plan = Plan()
    assert plan.due(1) == datetime(2027, 2, 6, 1, 30, tzinfo=UTC)
    assert plan.due(2) == datetime(2027, 2, 7, 1, 30, tzinfo=UTC)  # comes twice
    assert plan.due(3) == datetime(2027, 2, 8, 2, 30, tzinfo=UTC)
    assert plan.due(37) == datetime(2027, 3, 14, 2, 30, tzinfo=UTC)  # is skipped: 3:30
    assert plan.due(38) == datetime(2027, 3, 15, 1, 30, tzinfo=UTC)


def test_a_plan_strikes_as_many_nights_as_it_says():
    killed, down = Plan().struck()
    assert (len(killed), len(down)) == (10, 3)
    assert not killed.keys() & down
    assert 0 not in killed.keys() | down
    assert {what for _part, what in killed.values()} == set(STRIKES)
