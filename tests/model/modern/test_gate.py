from dataclasses import replace

import numpy as np
import pytest

from model.modern.config import ModernConfig
from model.modern.gate import media_kept
from model.modern.table import build_table
from tests.model.planted import planted
from tests.model.solving import Solving

CONFIG = ModernConfig(text_buckets=512, gram_buckets=2**10, text_width=8)


def gate(rows, config=CONFIG, val=()):
    solving = Solving(list(rows), list(val))
    request = solving.request()
    table = build_table(request, config)
    return media_kept(table, config, request.target.sd, lambda _text: None)


def with_noise(rows, seed):
    """The rows with a picture and a sound that have nothing to do with their views."""
    draw = np.random.default_rng(1000 + seed)
    return [
        replace(
            row,
            frames=draw.normal(size=8).astype(np.float32),
            audio=draw.normal(size=(2, 6)).astype(np.float32),
        )
        for row in rows
    ]


@pytest.fixture(scope="module")
def telling():
    return gate(planted(400, media=True))


def test_features_that_tell_are_kept(telling):
    kept, added = telling
    assert set(kept) == {"visual", "audio", "frames"} == {one.name for one in added}
    assert all(one.is_kept for one in added)
    assert all(one.gain > 0.02 for one in added)


def test_what_each_added_has_an_interval_around_it(telling):
    for one in telling[1]:
        assert one.low < one.gain < one.high
        assert one.to_json() == {
            "gain_log_mae": one.gain, "low": one.low, "high": one.high, "kept": True,
        }  # fmt: skip


def test_noise_is_mostly_not_kept():
    """Of 40 features of noise a gate of 1.5 standard errors lets through one in fifteen."""
    passed = [gate(with_noise(planted(160, seed=seed), seed)) for seed in range(20)]
    n_kept = sum(len(kept) for kept, _ in passed)
    assert n_kept <= 6
    assert all(len(added) == 2 for _, added in passed)
    assert all(one.is_kept == (one.name in kept) for kept, added in passed for one in added)


def test_a_feature_is_kept_beside_one_of_noise():
    rows = planted(400, media=True)
    draw = np.random.default_rng(0)
    noisy = [replace(row, audio=draw.normal(size=(2, 6)), visual=None) for row in rows]
    kept, added = gate(noisy)
    assert kept == ("frames",)
    assert {one.name: one.is_kept for one in added} == {"frames": True, "audio": False}


def test_a_higher_bar_keeps_less(telling):
    gains = gate(planted(400, media=True), replace(CONFIG, media_gain=1000.0))
    assert gains[0] == ()
    assert [one.name for one in gains[1]] == [one.name for one in telling[1]]


def test_rows_of_an_author_count_together():
    """A feature that only names who posted tells nothing of others: its interval is wide."""
    rows = planted(400, n_authors=8)
    spread = [replace(row, frames=np.eye(8, dtype=np.float32)[row.facts.author]) for row in rows]
    assert gate(spread)[0] == ()


def test_no_label_of_validation_moves_it(telling):
    rows = planted(500, media=True)
    val = [replace(row, views_k=1e5) for row in rows[400:]]
    kept, added = gate(rows[:400], val=val)
    other = gate(rows[:400], val=rows[400:])
    assert (kept, added) == other


def test_where_nothing_is_offered_nothing_is_kept():
    assert gate(planted(60)) == ((), ())


def test_too_few_rows_keep_nothing():
    assert gate(planted(9, media=True)) == ((), ())
