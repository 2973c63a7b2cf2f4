"""The engine: the same rows anywhere, and no death costs more than the batches on the way."""

import itertools
import multiprocessing
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from features.engine import (
    IN_FLIGHT_PER_WORKER,
    LOST_POOLS_MAX,
    BatchResult,
    Stored,
    extract_batches,
)
from features.errors import MissingInput, Undecodable, WeightsMismatch, WorkerLost
from features.extractor import Source
from features.settings import ClipConfig
from features.store import FeatureStore
from tests.features.media import make_media
from tests.features.plans import SpyPlan, ToyPlan, is_locked
from tests.programs import wait_until

WORKERS = 2
IN_FLIGHT = WORKERS * IN_FLIGHT_PER_WORKER


def batches(*names: str) -> list[list[Source]]:
    """One batch of one source a name."""
    return [[Source(video_id, name)] for video_id, name in enumerate(names)]


def by_video(results: list[BatchResult]) -> dict[int, object]:
    """What became of each video; a video with two results is an error."""
    pairs = [
        (source.video_id, result)
        for batch in results
        for source, kinds in zip(batch.sources, batch.results, strict=True)
        for result in kinds.values()
    ]
    assert len({video_id for video_id, _ in pairs}) == len(pairs)
    return dict(pairs)


@pytest.fixture
def plan(tmp_path) -> ToyPlan:
    return ToyPlan(str(tmp_path))


@pytest.fixture(autouse=True)
def no_child_is_left() -> Iterator[None]:
    yield
    assert multiprocessing.active_children() == []


def test_workers_give_the_rows_that_this_process_gives_and_a_bad_source_costs_one(plan):
    todo = [
        [Source(1, "a"), Source(2, "bad"), Source(3, "b")],
        [Source(4, "c")],
        [Source(5, "bad")],
        [],
        [Source(6, "d"), Source(7, "e")],
    ]
    here = list(extract_batches({"toy": plan}, todo, workers=0))
    assert [list(b.sources) for b in here] == todo
    there = by_video(list(extract_batches({"toy": plan}, iter(todo), workers=WORKERS)))
    for video_id, result in by_video(here).items():
        other = there[video_id]
        if video_id in (2, 5):
            assert isinstance(result, Undecodable)
            assert isinstance(other, Undecodable)
            assert str(other) == "bad on purpose"
        else:
            assert isinstance(result, Stored)
            assert isinstance(other, Stored)
            assert other.row == result.row
            assert result.detail["pid"] == os.getpid() != other.detail["pid"]
            tensors = FeatureStore(plan.store_root).read(other.row.uri, other.row.row)
            expected = np.random.default_rng(video_id).random((3, 4), np.float32)
            np.testing.assert_array_equal(tensors["toy"], expected)


def test_nothing_is_loaded_for_nothing(tmp_path):
    plan = ToyPlan(str(tmp_path), is_broken=True)
    assert list(extract_batches({"toy": plan}, [], workers=0)) == []
    assert list(extract_batches({"toy": plan}, [], workers=WORKERS)) == []


def test_a_kind_that_nobody_wants_is_not_loaded(tmp_path):
    plans = {"toy": ToyPlan(str(tmp_path)), "other": ToyPlan(str(tmp_path), is_broken=True)}
    batch = [Source(n, "a", kinds=frozenset({"toy"})) for n in range(2)]
    (result,) = extract_batches(plans, [batch], workers=0)
    assert [list(made) for made in result.results] == [["toy"], ["toy"]]


@pytest.mark.parametrize("workers", [0, WORKERS])
def test_what_keeps_an_extractor_from_loading_is_said_and_is_no_lost_worker(tmp_path, workers):
    plan = ToyPlan(str(tmp_path), is_broken=True)
    with pytest.raises(WeightsMismatch, match="not the weights that were named"):
        list(extract_batches({"toy": plan}, batches("a", "b"), workers=workers))


def test_a_killed_worker_costs_the_batches_on_the_way_and_the_rest_is_done(plan):
    todo = batches(*"abc", "kill", *"defghijkl")
    results = by_video(list(extract_batches({"toy": plan}, todo, workers=WORKERS)))
    assert set(results) == set(range(len(todo)))
    lost = {v for v, r in results.items() if isinstance(r, WorkerLost)}
    assert 3 in lost
    assert len(lost) <= IN_FLIGHT
    assert all(isinstance(r, Stored) for v, r in results.items() if v not in lost)
    error = results[3]
    assert isinstance(error, WorkerLost)
    assert not error.permanent


def test_a_pool_that_dies_while_nobody_looks_loses_no_batch(plan):
    # The death is noticed when the next batch is handed over: that one must come back too.
    consumed: list[int] = []

    def claimed() -> Iterator[list[Source]]:
        for batch in batches(*"abcdefgh"):
            consumed.append(batch[0].video_id)
            yield batch

    running = extract_batches({"toy": plan}, claimed(), workers=WORKERS)
    results = [next(running)]
    for child in multiprocessing.active_children():
        assert child.pid is not None
        os.kill(child.pid, signal.SIGKILL)
    wait_until(lambda: not multiprocessing.active_children())
    results += running
    assert set(by_video(results)) == set(consumed) == set(range(8))


def test_many_deaths_with_work_done_in_between_do_not_end_the_run(plan):
    n_deaths = LOST_POOLS_MAX + 1
    todo = batches(*(["a"] * IN_FLIGHT * 2 + ["kill"]) * n_deaths)
    results = by_video(list(extract_batches({"toy": plan}, todo, workers=1)))
    assert set(results) == set(range(len(todo)))
    assert sum(isinstance(r, WorkerLost) for r in results.values()) >= n_deaths


def test_workers_that_only_die_end_the_run_and_take_no_more_than_they_had(plan):
    consumed = 0

    def claimed() -> Iterator[list[Source]]:
        nonlocal consumed
        for video_id in itertools.count():
            consumed += 1
            yield [Source(video_id, "kill")]

    results = []
    with pytest.raises(WorkerLost, match="given up"):
        results.extend(
            extract_batches({"toy": plan}, claimed(), workers=1)
        )  # each result is seen first
    assert len(by_video(results)) == consumed <= LOST_POOLS_MAX * (IN_FLIGHT_PER_WORKER + 1)


def test_batches_are_claimed_no_further_than_workers_can_follow(plan):
    consumed = 0

    def claimed() -> Iterator[list[Source]]:
        nonlocal consumed
        for batch in batches(*["a"] * 30):
            consumed += 1
            yield batch

    running = extract_batches({"toy": plan}, claimed(), workers=WORKERS)
    assert consumed == 0
    n_before = 0
    for n_before, _result in enumerate(running):
        assert consumed - n_before <= IN_FLIGHT
    assert n_before == 29

    consumed = 0
    here = extract_batches({"toy": plan}, claimed(), workers=0)
    assert [consumed for _result in here] == list(range(1, 31))


def test_closing_early_stops_hanging_workers_and_leaves_no_child(plan, tmp_path):
    running = extract_batches(
        {"toy": plan}, batches("a", "hang", "hang", "a", "a"), workers=WORKERS
    )
    next(running)
    wait_until(lambda: any(tmp_path.glob("*.lock")))
    running.close()  # would never return if it waited for them
    assert multiprocessing.active_children() == []
    assert not any(is_locked(path) for path in tmp_path.glob("*.lock"))


def test_an_error_in_the_caller_leaves_no_child(plan):
    running = extract_batches({"toy": plan}, batches(*"abcdef"), workers=WORKERS)
    next(running)
    with pytest.raises(KeyboardInterrupt):
        running.throw(KeyboardInterrupt)
    assert multiprocessing.active_children() == []


PARENT = """
import sys
from features.engine import extract_batches
from features.extractor import Source
from tests.features.plans import ToyPlan
batches = [[Source(1, "hang")], [Source(2, "hang")], [Source(3, "a")]]
list(extract_batches({'toy': ToyPlan(sys.argv[1])}, batches, workers=2))
"""


def test_workers_do_not_outlive_a_killed_parent(tmp_path):
    root = Path(__file__).parents[2]
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, str(tmp_path)],
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(root)},
        stderr=subprocess.PIPE,
    )
    locks = [tmp_path / "1.lock", tmp_path / "2.lock"]
    try:
        wait_until(lambda: all(lock.exists() for lock in locks))
        assert all(is_locked(lock) for lock in locks)
    finally:
        parent.kill()
        _out, errors = parent.communicate()  # returns only when nobody holds the pipe any more
    wait_until(lambda: not any(is_locked(lock) for lock in locks))
    assert b"Traceback" not in errors


@pytest.mark.ffmpeg
def test_workers_that_decode_clips_load_no_torch(tmp_path):
    media = make_media("no_b_frames", tmp_path)
    plan = SpyPlan("clip", ClipConfig(every_frames=20, height_px=16, width_px=9), str(tmp_path))
    todo = [[Source(1, "a", path=str(media))], [Source(2, "b", path=str(tmp_path / "gone"))]]
    here = by_video(list(extract_batches({"toy": plan}, todo, workers=0)))
    there = by_video(list(extract_batches({"toy": plan}, todo, workers=WORKERS)))
    left, right = here[1], there[1]
    assert isinstance(left, Stored)
    assert isinstance(right, Stored)
    assert left.row == right.row
    assert right.detail["torch"] is False
    assert isinstance(there[2], MissingInput)
