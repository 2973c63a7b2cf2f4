from pathlib import Path

import pytest
import torch

from model.errors import BadCheckpoint
from model.targets import QuartileEdges, TargetTransform
from model.training.fit_config import FitConfig
from model.training.training_state import (
    EpochReport,
    TrainingState,
    load_state,
    save_state,
    set_up_of,
)
from tests.model.factories import batch_of, examples, network

SET_UP = {"lr": 0.1}


def stepped():
    """A network and an optimiser that have made a step."""
    fused = network()
    optimiser = torch.optim.Adam(fused.parameters(), lr=0.1)
    fused(batch_of(examples())).sum().backward()
    optimiser.step()
    return fused, optimiser


def test_validation_decides_where_there_is_one():
    assert EpochReport(1, train_loss=1.0, val_loss=2.0, seconds=0.0).loss == 2.0
    assert EpochReport(1, train_loss=1.0, val_loss=None, seconds=0.0).loss == 1.0


def test_nothing_learnt_yet_is_worse_than_anything():
    assert TrainingState().best_loss == pytest.approx(float("inf"))


@pytest.mark.parametrize("on_disk", [False, True])
def test_keeps_the_best_weights_and_not_the_weights_themselves(tmp_path: Path, on_disk):
    fused, optimiser = stepped()
    state = TrainingState()

    def keep(report: EpochReport) -> None:
        state.add(report)
        if on_disk:
            save_state(tmp_path / "state", state, fused, optimiser, SET_UP)
        else:
            state.copy_if_best(fused)

    keep(EpochReport(1, 1.0, 0.5, 0.0))
    kept = state.best["head.1.bias"].item()
    fused.head[1].bias.data.fill_(9.0)
    keep(EpochReport(2, 0.9, 0.6, 0.0))
    keep(EpochReport(3, 0.9, 0.6, 0.0))
    assert (state.best_epoch, state.best_loss) == (1, 0.5)
    assert state.best["head.1.bias"].item() == kept
    keep(EpochReport(4, 0.8, 0.4, 0.0))
    assert state.best["head.1.bias"].item() == 9.0


def test_what_was_kept_comes_back_to_the_bit(tmp_path: Path):
    fused, optimiser = stepped()
    state = TrainingState()
    state.add(EpochReport(1, 1.0, 0.5, 2.0))
    save_state(tmp_path / "state", state, fused, optimiser, SET_UP)
    fused.head[1].bias.data.fill_(9.0)
    state.add(EpochReport(2, 0.9, 0.7, 2.0))
    save_state(tmp_path / "state", state, fused, optimiser, SET_UP)
    other = network(seed=1)
    theirs = torch.optim.Adam(other.parameters(), lr=0.1)
    held = load_state(tmp_path / "state", other, theirs, SET_UP)
    assert held is not None
    assert (held.curve, held.best_epoch) == (state.curve, 1)
    assert held.best.keys() == state.best.keys()
    for name, value in held.best.items():
        assert torch.equal(value, state.best[name])
    for ours, there in zip(fused.parameters(), other.parameters(), strict=True):
        assert torch.equal(ours, there)
        for name, value in optimiser.state[ours].items():
            assert torch.equal(value, theirs.state[there][name])


def test_the_state_of_another_training_is_refused(tmp_path: Path):
    fused, optimiser = stepped()
    state = TrainingState()
    state.add(EpochReport(1, 1.0, 0.5, 2.0))
    save_state(tmp_path / "state", state, fused, optimiser, SET_UP)
    with pytest.raises(BadCheckpoint, match="another training"):
        load_state(tmp_path / "state", fused, optimiser, {"lr": 0.2})
    assert load_state(tmp_path / "none", fused, optimiser, SET_UP) is None


def test_where_and_how_long_a_training_computes_is_no_part_of_what_it_is():
    fused, target = network(), TargetTransform("raw")

    def named(edges: QuartileEdges | None = None, **settings: object) -> object:
        return set_up_of(fused, FitConfig(**settings), target, edges, n_rows=3)

    assert named() == named(max_minutes=3.0) == named(device="cpu")
    assert named() != named(precision="bf16")
    assert named() != named(QuartileEdges((1.0, 2.0, 3.0)))
