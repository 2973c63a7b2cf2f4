import pytest

from model.training_state import EpochReport, TrainingState
from tests.model.factories import network


def test_validation_decides_where_there_is_one():
    assert EpochReport(1, train_loss=1.0, val_loss=2.0, seconds=0.0).loss == 2.0
    assert EpochReport(1, train_loss=1.0, val_loss=None, seconds=0.0).loss == 1.0


def test_keeps_a_copy_of_the_best_weights_and_not_the_weights_themselves():
    fused, state = network(), TrainingState(n_rows=8)
    state.add(EpochReport(1, 1.0, 0.5, 0.0), fused)
    kept = state.best["head.1.bias"].item()
    fused.head[1].bias.data.fill_(9.0)
    state.add(EpochReport(2, 0.9, 0.6, 0.0), fused)
    assert (state.best_epoch, state.best_loss) == (1, 0.5)
    assert state.best["head.1.bias"].item() == kept
    state.add(EpochReport(3, 0.8, 0.4, 0.0), fused)
    assert state.best["head.1.bias"].item() == 9.0


def test_nothing_learnt_yet_is_worse_than_anything():
    assert TrainingState(n_rows=8).best_loss == pytest.approx(float("inf"))
