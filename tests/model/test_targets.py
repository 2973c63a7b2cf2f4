import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import spearmanr

from catalog.facts import PastPost, PostFacts
from model.base import SolveRequest
from model.batches import Example
from model.blocks.past import Histories
from model.errors import BadCheckpoint, BadSetting, NotFinite, NothingToTrain
from model.registry import Solved, find_kind, find_preset
from model.steps.rows import attached
from model.targets import TARGET_KINDS, QuartileEdges, TargetTransform, log_views
from tests.model.factories import scored_k

START = datetime(2026, 1, 1, tzinfo=UTC)

views = st.lists(st.floats(0, 1e6), min_size=1, max_size=40)


@given(views, st.sampled_from(TARGET_KINDS))
def test_invert_undoes_apply(views_k, kind):
    target = TargetTransform.fit(views_k, kind)
    back = target.invert(target.apply(views_k))
    np.testing.assert_allclose(back, views_k, rtol=1e-7, atol=1e-6)


@given(views, st.sampled_from(TARGET_KINDS))
def test_survives_json(views_k, kind):
    target = TargetTransform.fit(views_k, kind)
    assert TargetTransform.from_json(json.loads(json.dumps(target.to_json()))) == target


@pytest.mark.parametrize("kind", ["standard", "log1p"])
def test_training_views_have_mean_zero_and_sd_one(kind):
    views_k = [1.0, 10.0, 300.0, 9000.0]
    scaled = TargetTransform.fit(views_k, kind).apply(views_k)
    assert scaled.mean() == pytest.approx(0)
    assert scaled.std() == pytest.approx(1)


def test_equal_views_have_a_scale_of_one():
    assert TargetTransform.fit([7.1, 7.1, 7.1], "standard").sd == 1.0


@pytest.mark.parametrize("kind", TARGET_KINDS)
def test_a_score_is_never_below_zero(kind):
    target = TargetTransform.fit([1.0, 2.0, 30.0], kind)
    assert target.score([-1e3]).tolist() == [0.0]


def test_a_log_score_ends_at_the_highest_count_of_training():
    target = TargetTransform.fit([1.0, 2.0, 30.0], "log1p")
    assert target.score([1e6]).tolist() == [30.0]
    assert target.invert([100.0])[0] > 30.0


def test_a_score_that_is_no_number_stays_none():
    assert np.isnan(TargetTransform.fit([1.0, 2.0], "log1p").score([np.nan])).all()


def test_the_log_of_no_views_is_nought_and_a_single_view_moves_it():
    assert log_views([0.0, 0.001, 1.0]).tolist() == pytest.approx([0, np.log(2), np.log(1001)])
    target = TargetTransform.fit([0.0, 0.001, 1.0], "log1p")
    assert target.score(target.apply([0.0]))[0] == pytest.approx(0.0, abs=1e-15)


def test_a_document_of_before_the_unit_is_read_with_its_own_scale():
    """Its numbers are of ln(1 + thousands): read as ln(1 + views), they would be other counts."""
    old = {"kind": "log1p", "mean": 2.0, "sd": 0.5, "ceiling_k": 500.0}
    target = TargetTransform.from_json(old)
    assert target.apply([9.0])[0] == pytest.approx((np.log(10.0) - 2.0) / 0.5)
    assert target.score([0.0])[0] == pytest.approx(np.expm1(2.0))
    assert TargetTransform.from_json(target.to_json()) == target
    assert TargetTransform.from_json({**old, "unit_k": 0.001}) != target


@pytest.mark.parametrize("unit_k", ["1", None, [1.0]])
def test_refuses_a_unit_that_is_no_number(unit_k):
    with pytest.raises(BadCheckpoint, match="unit_k"):
        TargetTransform.from_json({"kind": "log1p", "mean": 0.0, "sd": 1.0, "unit_k": unit_k})


SOLVED = ("ridge", "author_mean", "hashtag_mean")


def small_counts(n: int, factor: float = 1.0) -> list[Example]:
    """Posts of which three quarters have fewer than 1,000 views; who posts decides of them."""
    draw = np.random.default_rng(5)
    levels = draw.normal(5.5, 1.6, 40)
    rows = []
    for number in range(n):
        author = int(draw.integers(40))
        views = round(float(np.exp(levels[author] + draw.normal(0, 0.7))))
        facts = PostFacts(
            caption=" ".join(draw.choice(("fast", "slow", "cat", "dog"), 2)),
            hashtags=(f"maker{author % 20}",),
            author=author,
            posted_at=START + timedelta(hours=number),
        )
        rows.append(Example(number + 1, views_k=views / 1000 * factor, facts=facts))
    return rows


def forecast_k(name: str, rows: list[Example], n_train: int, folder: Path) -> np.ndarray:
    """What the preset `name` says of the rows after the first n_train, which it learns from."""
    past = Histories(
        PastPost(
            row.video_id,
            row.facts.author,
            None,
            row.facts.hashtags,
            row.facts.posted_at,
            row.facts.posted_at + timedelta(days=1),
            row.views_k,
        )
        for row in rows
    )
    train, later = attached(rows[:n_train], past), attached(rows[n_train:], past)
    target = TargetTransform.fit([row.views_k for row in train], "log1p")
    request = SolveRequest(train, [], target, 0, folder, lambda _c, _d: None, lambda _t: None, past)
    preset = find_preset(name)
    kind = find_kind(preset.kind)
    assert isinstance(kind, Solved)
    network = kind.solve(preset.network, request)
    return np.array(list(scored_k(network, later, target).values()))


@pytest.mark.parametrize("name", SOLVED)
def test_counts_a_thousand_times_as_high_are_ranked_alike(name, tmp_path):
    """Of counts below 1,000, ln(1 + thousands) made one number, and forecasts of exactly 0."""
    small, large = (forecast_k(name, small_counts(700, f), 500, tmp_path) for f in (1.0, 1000.0))
    truth = [row.views_k for row in small_counts(700)[500:]]
    assert small.min() > 0
    assert spearmanr(small, large).statistic > 0.99
    assert spearmanr(small, truth).statistic == pytest.approx(
        spearmanr(large, truth).statistic, abs=0.01
    )
    assert np.median(large / small) == pytest.approx(1000, rel=0.1)


def test_nothing_cannot_be_fitted():
    with pytest.raises(NothingToTrain):
        TargetTransform.fit([], "log1p")


@pytest.mark.parametrize("bad", [-1.0, np.nan, np.inf])
def test_a_count_that_is_none_cannot_be_fitted(bad):
    with pytest.raises(NotFinite):
        TargetTransform.fit([1.0, bad], "standard")


def test_an_unknown_target_is_refused():
    with pytest.raises(BadSetting, match="log1p"):
        TargetTransform.fit([1.0, 2.0], "log2")  # type: ignore[arg-type]  # that is the test


@pytest.mark.parametrize(
    "document",
    [{}, {"kind": "raw", "mean": "0", "sd": 1.0}, {"kind": "raw", "mean": 0.0, "sd": None}],
)
def test_refuses_a_document_that_is_no_target(document):
    with pytest.raises(BadCheckpoint):
        TargetTransform.from_json(document)


def test_quartiles_part_the_training_rows_evenly():
    views_k = np.arange(1.0, 101.0)
    quarters = QuartileEdges.fit(views_k).classify(views_k)
    assert np.bincount(quarters).tolist() == [25, 25, 25, 25]


def test_a_border_belongs_to_the_quarter_above():
    edges = QuartileEdges((1.0, 2.0, 3.0))
    assert edges.classify([0.0, 1.0, 2.0, 2.5, 3.0, 9.0]).tolist() == [0, 1, 2, 2, 3, 3]


def test_edges_survive_json():
    edges = QuartileEdges.fit([1.0, 5.0, 9.0, 100.0])
    assert QuartileEdges.from_json(json.loads(json.dumps(edges.to_json()))) == edges


@pytest.mark.parametrize("document", [[], [1.0, 2.0], [3.0, 2.0, 1.0]])
def test_refuses_edges_that_are_none(document):
    with pytest.raises(BadCheckpoint):
        QuartileEdges.from_json(document)


def test_a_quarter_means_the_median_of_its_training_rows():
    views_k = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 80.0]
    edges = QuartileEdges.fit(views_k)
    assert edges.medians(views_k) == (1.5, 3.5, 5.5, 43.5)


def test_a_quarter_without_a_row_stands_at_its_border():
    views_k = [5.0, 5.0, 5.0, 5.0]
    edges = QuartileEdges.fit(views_k)
    assert edges.medians(views_k) == (5.0, 5.0, 5.0, 5.0)
