"""What each modality did to a forecast, for models that are made of blocks and for others."""

from dataclasses import replace

import pytest
import torch

from catalog.facts import PostFacts
from model.batches import Example
from model.forecast.ablation import moves_of
from model.registry import find_kind
from model.scoring import Forecast
from model.solved.constants import solve_constant
from model.targets import TargetTransform
from tests.model.factories import examples, network

TARGET = TargetTransform("log1p")


def told(score, kind, example):
    moves = moves_of(network(), example, target=TARGET, score=score, kind=find_kind(kind))
    return {move.modality: move.factor for move in moves}


def test_a_factor_is_the_forecast_over_the_one_without():
    def score(row: Example) -> Forecast:
        return Forecast((8.0 if row.visual is not None else 4.0) * (row.audio is None or 0.5))

    assert told(score, "fused", examples(1)[0]) == {"picture": 2.0, "sound": 0.5}


def test_no_views_at_all_count_as_one_view():
    def score(row: Example) -> Forecast:
        return Forecast(0.0 if row.audio is None else 0.002)

    assert told(score, "fused", examples(1)[0]) == {"picture": 1.0, "sound": 2.0}


def test_what_a_network_only_has_is_not_left_out():
    clip = torch.zeros(3, 2, 4, 4, dtype=torch.uint8)
    assert told(lambda _row: Forecast(1.0), "cnn3d", Example(0, clip=clip)) == {}
    silent = replace(examples(1)[0], audio=None)
    assert told(lambda _row: Forecast(1.0), "fused", silent) == {}


def test_facts_are_left_out_of_models_that_read_them():
    facts = PostFacts(caption="a #cat", hashtags=("cat",), duration_s=9.0)

    def score(row: Example) -> Forecast:
        return Forecast(3.0 if row.facts.hashtags else 1.0)

    found = told(score, "hashtag_mean", Example(0, facts=facts))
    assert found == {"caption": 1.0, "hashtags": 3.0, "length and shape": 1.0}


def test_nothing_moves_a_constant():
    constant = solve_constant("median", [1.0, 2.0, 9.0])
    found = moves_of(
        constant,
        Example(0, facts=PostFacts(caption="a")),
        target=TargetTransform("raw"),
        score=lambda _row: Forecast(2.0),
        kind=find_kind("median"),
    )
    assert found == ()


@pytest.mark.parametrize("kind", ["fused", "hashtag_mean"])
def test_a_row_without_anything_is_moved_by_nothing(kind):
    assert told(lambda _row: Forecast(1.0), kind, Example(0)) == {}
