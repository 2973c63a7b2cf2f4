import pytest
import torch

from model.training.losses import LOSSES, loss_of, pinball


def test_pinball_is_half_the_absolute_error_in_the_middle():
    predicted, wanted = torch.tensor([1.0, 5.0, 2.0]), torch.tensor([2.0, 3.0, 2.0])
    middle = pinball(predicted, wanted, tau=0.5)
    assert middle == pytest.approx(0.5 * loss_of("mae", tau=0.5)(predicted, wanted))


def test_pinball_punishes_the_rarer_side_more():
    low, high = torch.tensor([1.0]), torch.tensor([3.0])
    assert pinball(low, high, tau=0.9).item() == pytest.approx(1.8)
    assert pinball(high, low, tau=0.9).item() == pytest.approx(0.2)


@pytest.mark.parametrize("name", [name for name in LOSSES if name != "cross_entropy"])
def test_what_is_right_costs_nothing(name):
    wanted = torch.tensor([1.0, -2.0])
    assert loss_of(name, tau=0.3)(wanted, wanted) == 0


def test_classes_are_told_apart_by_their_scores():
    scores = torch.tensor([[9.0, 0.0, 0.0, 0.0]])
    loss = loss_of("cross_entropy", tau=0.5)
    assert loss(scores, torch.tensor([0])) < 0.01 < 8 < loss(scores, torch.tensor([3]))
