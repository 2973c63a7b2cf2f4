"""What each modality did to a forecast, for models that are made of blocks and for others."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from catalog.facts import KnownAccount, PostFacts, Traits
from model.base import Network
from model.batches import Example
from model.blocks.encoder import Encoded
from model.forecast.ablation import BLOCKS, HAS, moves_of
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


class Everything(Network):
    """Reads blocks that are always there, and moves by each of them."""

    def __init__(self, *names):
        super().__init__()
        self.names = names

    @property
    def block_names(self):
        return self.names

    def encode_rows(self, rows):
        ones = np.ones((len(rows), 1), np.float32)
        has = np.ones(len(rows), np.bool_)
        return Encoded(dict.fromkeys(self.names, ones), dict.fromkeys(self.names, has))

    def forecast_encoded(self, encoded):
        return np.array([sum(float(value[0, 0]) for value in encoded.values.values())])

    def forward(self, batch):
        raise NotImplementedError


def moved_by(example):
    blocks = Everything(*HAS, "neighbours", "a block of tomorrow")
    moves = moves_of(
        blocks, example, target=TARGET, score=lambda _row: Forecast(1.0), kind=find_kind("modern")
    )
    return {move.modality for move in moves}


def test_what_is_absent_is_no_move_though_a_block_says_so():
    assert moved_by(Example(0)) == {"similar videos", "a block of tomorrow"}
    silent = PostFacts(transcript="", screen="", hashtags=("cat",))
    nothing = np.full(4, np.nan)
    found = moved_by(Example(0, facts=silent, opening=nothing, history=nothing))
    there = ("tags", "form", "grams", "neighbours")
    assert found == {*(BLOCKS[name] for name in there), "a block of tomorrow"}


def test_what_is_there_is_a_move():
    facts = PostFacts(
        caption="a",
        hashtags=("cat",),
        author=3,
        transcript="hello",
        screen="x",
        account=KnownAccount(n_posts=1),
        traits=Traits(is_ad=True),
        sound=1,
    )
    some = np.array([1.0, np.nan])
    vector = np.ones(3, np.float32)
    row = Example(
        0, vector, vector, None, None, vector, facts, opening=some, sentence=some, history=some
    )
    every = {*(BLOCKS[name] for name in HAS), "similar videos", "a block of tomorrow"}
    assert moved_by(row) == every
