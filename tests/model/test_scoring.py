from dataclasses import dataclass, replace

import pytest
import torch
from torch import Tensor

from model.base import Network, Outputs
from model.batches import Batch, Example, InputShapes
from model.errors import BadSetting, IncompatibleFeatures, NotFinite
from model.scoring import Forecast, Scorer
from model.targets import QuartileEdges, TargetTransform
from tests.model.factories import TINY, examples, network, scored_k

ROWS = examples(8)
VIEWS_K = [row.views_k or 0.0 for row in ROWS]
TARGET = TargetTransform.fit(VIEWS_K, "log1p")
EDGES = QuartileEdges.fit(VIEWS_K)
MEDIANS_K = EDGES.medians(VIEWS_K)


@dataclass(frozen=True)
class Nothing:
    pass


class Stating(Network):
    """A network that says the same of every row."""

    def __init__(self, said: Outputs) -> None:
        super().__init__()
        self.config, self.shapes, self.said = Nothing(), InputShapes(), said

    def forward(self, batch: Batch) -> Tensor:
        assert self.said.point is not None
        return self.said.point.expand(len(batch))

    def outputs(self, batch: Batch) -> Outputs:
        assert len(batch) == 1
        return self.said


def test_a_score_is_the_same_to_the_last_bit_in_any_order():
    fused = network()
    forward = scored_k(fused, ROWS, TARGET)
    backward = scored_k(fused, ROWS[::-1], TARGET)
    assert forward == backward
    assert scored_k(fused, ROWS[2:3], TARGET).items() <= forward.items()


def test_scoring_turns_dropout_off():
    scorer = Scorer(network(replace(TINY, dropout=0.5)), TARGET)
    scorer.network.train()
    assert len({scorer(ROWS[0]) for _ in range(5)}) == 1


def test_one_row_that_cannot_be_scored_costs_one_row():
    scorer = Scorer(network(), TARGET)
    with pytest.raises(IncompatibleFeatures):
        scorer(Example(1, visual=torch.zeros(8, 4, 5)))
    assert scorer(ROWS[0]).views_k >= 0
    scorer.network.head[1].weight.data.fill_(float("nan"))
    with pytest.raises(NotFinite, match="video 1 "):
        scorer(ROWS[0])


def test_a_forecast_names_the_quarter_of_its_views():
    scorer = Scorer(network(), TARGET, EDGES)
    for each in map(scorer, ROWS):
        assert each.quartile == EDGES.classify(each.views_k)
        assert (each.low_k, each.high_k) == (None, None)
    assert Scorer(network(), TARGET)(ROWS[0]).quartile is None


def test_an_interval_is_told_in_views():
    ends = [torch.tensor([value]) for value in (10.0, 5.0, 20.0)]
    scorer = Scorer(Stating(Outputs(*ends)), TargetTransform("raw"), QuartileEdges((1, 8, 15)))
    assert scorer(ROWS[0]) == Forecast(10.0, 5.0, 20.0, quartile=2)


def test_a_chosen_quarter_is_told_as_its_median_views():
    scores = torch.tensor([[0.0, 0.1, 3.0, 0.2]])
    scorer = Scorer(Stating(Outputs(classes=scores)), TARGET, EDGES, MEDIANS_K)
    assert scorer(ROWS[0]) == Forecast(MEDIANS_K[2], quartile=2)


def test_a_classifier_needs_to_know_what_its_quarters_mean():
    with pytest.raises(BadSetting, match="medians_k"):
        Scorer(Stating(Outputs(classes=torch.zeros(1, 4))), TARGET, EDGES)(ROWS[0])


def test_class_scores_that_are_no_numbers_are_no_choice():
    scores = torch.tensor([[0.0, float("nan"), 3.0, 0.2]])
    with pytest.raises(NotFinite, match="video 1 "):
        Scorer(Stating(Outputs(classes=scores)), TARGET, EDGES, MEDIANS_K)(ROWS[0])
