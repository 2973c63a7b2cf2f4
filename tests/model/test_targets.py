import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.errors import BadCheckpoint, BadSetting, NotFinite, NothingToTrain
from model.targets import TARGET_KINDS, QuartileEdges, TargetTransform

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
