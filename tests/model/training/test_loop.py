"""The training loop: what it keeps, when it stops, and that a kill leaves no trace."""

import json
import math
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import nn

from features.errors import WeightsMismatch
from features.weights import load_weights, save_weights, weights_sha256
from model.errors import BadCheckpoint, NotFinite
from model.training.loop import EpochReport, Limits, StateFile, Training, require_finite
from model.training.world import World, seeded

SET_UP = {"lr": 0.1, "sizes": (1, 2)}
LOSSES = st.lists(st.sampled_from([0.5, 1.0, 2.0, 3.0]), min_size=1, max_size=8)
# Each example has its own network and file name; the folder is only where they lie.
in_a_folder = settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


class Killed(Exception):
    pass


@dataclass
class Scripted:
    """Passes that move the weights at random and say the losses that they were told to say."""

    network: nn.Module
    optimiser: torch.optim.Optimizer
    losses: list[float]
    validates: bool = True
    killed_in: int | None = None  # epoch whose validation is not lived to see
    learned: list[int] = field(default_factory=list)

    def learn(self, epoch: int) -> float:
        self.learned.append(epoch)
        with seeded(epoch):
            rows = torch.randn(4, 3)
        self.optimiser.zero_grad(set_to_none=True)
        self.network(rows).square().mean().backward()
        self.optimiser.step()
        return 7.0 if self.validates else self.losses[epoch - 1]

    def judge(self) -> float | None:
        if self.learned[-1] == self.killed_in:
            raise Killed
        return self.losses[self.learned[-1] - 1] if self.validates else None


def begun(
    losses: list[float],
    *,
    path: Path | None = None,
    patience: int | None = None,
    set_up: dict[str, object] = SET_UP,
    killed_in: int | None = None,
    **rest: object,
) -> tuple[Training, Scripted]:
    """A training of a tiny network, and its passes."""
    with seeded(0):
        network = nn.Linear(3, 2)
    optimiser = torch.optim.AdamW(network.parameters(), lr=0.1)
    training = Training(
        network,
        optimiser,
        Limits(len(losses), patience),
        state_file=None if path is None else StateFile(path, set_up),
        **rest,
    )
    return training, Scripted(network, optimiser, losses, killed_in=killed_in)


def weights(training: Training) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in training.network.state_dict().items()}


def assert_same(left: dict[str, torch.Tensor], right: dict[str, torch.Tensor]) -> None:
    assert left.keys() == right.keys()
    assert all(torch.equal(value, right[name]) for name, value in left.items())


def stopped_by(losses: list[float], patience: int | None) -> tuple[int, int]:
    """The epoch that a training with these losses ends with, and its best, the simple way."""
    for n in range(1, len(losses) + 1):
        best = 1 + losses.index(min(losses[:n]))
        if patience is not None and n - best >= patience:
            break
    return n, best


@given(LOSSES, st.none() | st.integers(1, 4))
@settings(max_examples=60, deadline=None)
def test_it_stops_after_so_many_epochs_without_a_better_one(losses, patience):
    training, passes = begun(losses, patience=patience)
    stopped = training.run(passes)
    n, best = stopped_by(losses, patience)
    assert (len(training.curve), training.best_epoch) == (n, best)
    assert training.best_loss == min(losses[:n])
    assert stopped == ("epochs" if n == len(losses) else "patience")


@given(LOSSES, st.booleans())
@in_a_folder
def test_the_first_of_the_best_epochs_is_left(tmp_path: Path, losses, on_disk):
    path = tmp_path / "state"
    path.unlink(missing_ok=True)
    training, passes = begun(losses, path=path if on_disk else None)
    after: list[dict[str, torch.Tensor]] = []
    training.run(passes, lambda _report: after.append(weights(training)))
    assert_same(weights(training), after[-1])
    training.finish()
    assert_same(weights(training), after[losses.index(min(losses))])
    assert not training.network.training


def test_the_last_epoch_is_left_where_it_is_asked_for():
    training, passes = begun([1.0, 2.0])
    training.run(passes)
    last = weights(training)
    training.finish(keep="last")
    assert_same(weights(training), last)
    assert any(not torch.equal(value, last[name]) for name, value in training.best.items())


@given(LOSSES, st.data())
@in_a_folder
def test_a_training_that_was_killed_in_any_epoch_ends_as_if_it_had_not(
    tmp_path: Path, losses, data
):
    path = tmp_path / "state"
    path.unlink(missing_ok=True)
    whole, passes = begun(losses, patience=3)
    whole.run(passes)
    last = weights(whole)
    whole.finish()

    kills = sorted(data.draw(st.sets(st.integers(1, len(whole.curve)), min_size=1)))
    for killed_in in kills:
        training, passes = begun(losses, path=path, patience=3, killed_in=killed_in)
        assert training.resume() == path.exists()
        with pytest.raises(Killed):
            training.run(passes)
    rest, passes = begun(losses, path=path, patience=3)
    rest.resume()
    told: list[EpochReport] = []
    rest.run(passes, told.append)
    assert passes.learned == [report.epoch for report in told]
    assert passes.learned == list(range(kills[-1], len(whole.curve) + 1))
    assert rest.curve == whole.curve
    assert_same(weights(rest), last)
    for ours, theirs in zip(
        rest.optimiser.state_dict()["state"].values(),
        load_slots(path).values(),
        strict=True,
    ):
        assert all(torch.equal(ours[slot], theirs[slot]) for slot in ours)
    rest.finish()
    assert_same(weights(rest), weights(whole))


def load_slots(path: Path) -> dict[str, dict[str, torch.Tensor]]:
    """What the optimiser keeps of each parameter, as the file has it."""
    found: dict[str, dict[str, torch.Tensor]] = {}
    for name, value in load_weights(path).tensors.items():
        if name.startswith("optimiser."):
            _, index, slot = name.split(".")
            found.setdefault(index, {})[slot] = value
    return found


def test_a_finished_training_is_not_done_again(tmp_path: Path):
    training, passes = begun([2.0, 1.0, 3.0], path=tmp_path / "state")
    training.run(passes)
    training.finish()
    sha256 = weights_sha256(tmp_path / "state")
    again, passes = begun([2.0, 1.0, 3.0], path=tmp_path / "state")
    assert again.resume()
    assert again.run(passes) == "epochs"
    again.finish()
    assert passes.learned == []
    assert_same(weights(again), weights(training))
    assert weights_sha256(tmp_path / "state") == sha256


def test_an_epoch_is_told_of_when_it_is_safe(tmp_path: Path):
    seen: list[int] = []

    def look(report: EpochReport) -> None:
        seen.append(len(load_weights(tmp_path / "state").extra["curve"]))
        assert seen[-1] == report.epoch

    training, passes = begun([1.0, 1.0], path=tmp_path / "state")
    training.run(passes, look)
    assert seen == [1, 2]


@given(st.integers(1, 3), st.sampled_from([math.nan, math.inf, -math.inf]), st.booleans())
@in_a_folder
def test_a_loss_that_is_no_number_stops_it_and_the_last_good_epoch_stays(
    tmp_path: Path, n_good, bad, validates
):
    path = tmp_path / "state"
    path.unlink(missing_ok=True)
    training, passes = begun([*[1.0] * n_good, bad, 1.0], path=path)
    passes.validates = validates
    with pytest.raises(NotFinite, match=rf"loss is -?(nan|inf) in .*epoch {n_good + 1}"):
        training.run(passes)
    assert len(load_weights(path).extra["curve"]) == n_good == len(training.curve)


def test_a_finite_loss_is_given_back():
    assert require_finite(1.5, "here") == 1.5
    with pytest.raises(NotFinite, match="loss is nan in here; do better"):
        require_finite(math.nan, "here", "do better")


def test_without_validation_the_training_loss_decides():
    training, passes = begun([1.0, 3.0, 0.5, 2.0])
    passes.validates = False
    training.run(passes)
    assert (training.best_epoch, training.best_loss) == (3, 0.5)
    assert [report.val_loss for report in training.curve] == [None] * 4


def test_nothing_learnt_yet_is_worse_than_anything():
    assert begun([1.0])[0].best_loss == math.inf


def test_its_minutes_are_looked_at_after_an_epoch():
    training, passes = begun([1.0] * 5)
    training.limits = Limits(5, max_minutes=0.0)
    assert training.run(passes) == "minutes"
    assert len(training.curve) == 1


@pytest.mark.parametrize("left_by", ["another set-up", "an older viewcast"])
def test_the_state_of_another_training_is_told_of_and_written_over(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, left_by
):
    path = tmp_path / "state"
    if left_by == "another set-up":
        other, passes = begun([0.1, 0.2], path=path, set_up={"lr": 0.2})
        other.run(passes)
    else:
        save_weights(path, "pretraining", {"lr": 0.1}, {"last.weight": torch.zeros(2, 3)}, {})
    fresh, fresh_passes = begun([2.0, 1.0])
    fresh.run(fresh_passes)
    training, passes = begun([2.0, 1.0], path=path)
    assert not training.resume()
    assert "begins anew" in caplog.text
    assert len(caplog.records) == 1
    training.run(passes)
    assert training.curve == fresh.curve
    assert_same(weights(training), weights(fresh))
    assert load_weights(path).extra["set_up"] == json.loads(json.dumps(SET_UP))


def test_what_is_no_state_is_not_written_over(tmp_path: Path):
    path = tmp_path / "state"
    path.write_bytes(b"half a file")
    with pytest.raises(BadCheckpoint, match="no training state") as raised:
        begun([1.0], path=path)[0].resume()
    assert isinstance(raised.value.__cause__, WeightsMismatch)
    save_weights(path, "fused", {}, {"weight": torch.zeros(2)})
    with pytest.raises(BadCheckpoint, match="a fused"):
        begun([1.0], path=path)[0].resume()
    assert load_weights(path).kind == "fused"


def test_of_several_processes_the_first_alone_writes_and_tells(tmp_path: Path):
    training, passes = begun([2.0, 1.0, 3.0], path=tmp_path / "state", world=World(rank=1))
    told: list[EpochReport] = []
    training.run(passes, told.append)
    assert told == []
    assert list(tmp_path.iterdir()) == []
    first, passes = begun([2.0, 1.0, 3.0])
    first.run(passes)
    assert_same(training.best, first.best)


def test_a_training_leaves_the_memory_of_its_steps(tmp_path: Path):
    training, passes = begun([1.0, 2.0], path=tmp_path / "state")
    training.run(passes)
    training.finish()
    assert not training.optimiser.state
    assert all(parameter.grad is None for parameter in training.network.parameters())
