import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from features.errors import DeviceMissing
from features.weights import load_weights
from model.batches import Example
from model.errors import BadCheckpoint, BadSetting, NotFinite, NothingToTrain
from model.registry import PRESETS
from model.targets import QuartileEdges, TargetTransform
from model.training.fit import LOSSES, FitConfig, FitResult, fit, loss_of, set_up_of
from model.training.loop import EpochReport
from tests.model.factories import TINY, TINY_PAPER, examples, network, scored_k


@pytest.mark.parametrize("name", [name for name in LOSSES if name != "cross_entropy"])
def test_what_is_right_costs_nothing(name):
    wanted = torch.tensor([1.0, -2.0])
    assert loss_of(name, tau=0.3)(wanted, wanted) == 0


def test_classes_are_told_apart_by_their_scores():
    scores = torch.tensor([[9.0, 0.0, 0.0, 0.0]])
    loss = loss_of("cross_entropy", tau=0.5)
    assert loss(scores, torch.tensor([0])) < 0.01 < 8 < loss(scores, torch.tensor([3]))


def test_the_learning_rate_rises_and_falls():
    config = FitConfig(epochs=10, lr=1.0, warmup_epochs=2)
    assert config.lr_at(0) == 0
    assert config.lr_at(1) == pytest.approx(0.5 * 0.5 * (1 + math.cos(math.pi / 10)))
    assert config.lr_at(10) == pytest.approx(0)
    assert replace(config, decay="none").lr_at(7) == 1.0


def test_the_learning_rate_can_rise_from_a_part_of_itself():
    config = FitConfig(lr=3.0, warmup_epochs=10, warmup_from=1 / 3, decay="none")
    assert [config.lr_at(epoch) for epoch in (0, 5, 10, 20)] == pytest.approx([1, 2, 3, 3])


@pytest.mark.parametrize(
    "settings",
    [
        {"epochs": 0},
        {"batch": 0},
        {"lr": 0.0},
        {"weight_decay": -1.0},
        {"loss": "hinge"},
        {"optimiser": "sgd"},
        {"decay": "step"},
        {"tau": 1.0},
        {"patience": 0},
        {"clip_norm": 0.0},
        {"warmup_from": 2.0},
        {"warmup_epochs": -1.0},
        {"keep": "first"},
        {"lr_every": "day"},
        {"precision": "fp8"},
    ],
)
def test_refuses_settings_that_cannot_train(settings):
    with pytest.raises(BadSetting, match=next(iter(settings))):
        FitConfig(**settings)


def test_where_and_how_long_a_training_computes_is_no_part_of_what_it_is():
    fused, target = network(), TargetTransform("raw")

    def named(edges: QuartileEdges | None = None, **settings: object) -> object:
        return set_up_of(fused, FitConfig(**settings), target, edges, n_rows=3)

    assert named() == named(max_minutes=3.0) == named(device="cpu")
    assert named() != named(precision="bf16")
    assert named() != named(QuartileEdges((1.0, 2.0, 3.0)))


QUICK = FitConfig(epochs=3, batch=4, lr=1e-3, patience=None, device="cpu")
ROWS = examples(8)
VAL = examples(4, seed=1)
# The same rows, the other way round: the better the one is learnt, the worse is the other.
CONTRARY = [
    replace(row, views_k=other.views_k)
    for row, other in zip(
        sorted(ROWS, key=lambda row: row.views_k),
        sorted(ROWS, key=lambda row: row.views_k, reverse=True),
        strict=True,
    )
]
TARGET = TargetTransform.fit([row.views_k or 0.0 for row in ROWS], "log1p")


class Interrupted(Exception):
    pass


def train(config: FitConfig = QUICK, **keywords: object) -> tuple[FitResult, list[float]]:
    fused = network()
    result = fit(fused, ROWS, VAL, config, TARGET, **keywords)
    return result, list(scored_k(fused, VAL, TARGET).values())


def test_the_paper_settings_do_not_train():
    settings = PRESETS["paper"].fit
    assert settings is not None
    target = TargetTransform.fit([row.views_k or 0.0 for row in ROWS], "standard")
    fused, untouched = network(TINY_PAPER), network(TINY_PAPER)
    fit(fused, ROWS, VAL, settings, target)
    for learnt, drawn in zip(fused.parameters(), untouched.parameters(), strict=True):
        torch.testing.assert_close(learnt, drawn, atol=1e-7, rtol=0)


def test_the_same_seed_trains_the_same_network():
    assert train()[1] == train()[1]
    assert train()[1] != train(replace(QUICK, seed=1))[1]


def test_leaves_the_global_random_state_alone():
    before = torch.get_rng_state()
    train()
    assert torch.equal(torch.get_rng_state(), before)


def test_keeps_the_weights_of_the_best_epoch():
    seen: list[EpochReport] = []
    wild = replace(QUICK, epochs=12, lr=0.05, clip_norm=None, decay="none")
    fused = network()
    # Without a ceiling, which would cut scores that the loss counts whole.
    target = replace(TARGET, ceiling_k=None)
    result = fit(fused, ROWS, VAL, wild, target, on_epoch=seen.append)
    losses = [report.loss for report in seen]
    assert result.best_loss == min(losses)
    assert losses[result.best_epoch - 1] == min(losses)
    scored = list(scored_k(fused, VAL, target).values())
    assert min(scored) > 0  # no views is a floor that would cut as well
    gaps = np.abs(target.apply(scored) - target.apply([row.views_k for row in VAL]))
    huber = np.where(gaps < 1, gaps**2 / 2, gaps - 0.5).mean()
    assert huber == pytest.approx(result.best_loss, rel=1e-3)


def test_stops_when_validation_no_longer_gets_better():
    wild = replace(QUICK, epochs=100, lr=0.05, patience=2, decay="none")
    result, _ = train(wild)
    assert result.stopped == "patience"
    assert len(result.curve) == result.best_epoch + 2


def test_stops_when_its_minutes_are_over():
    result, _ = train(replace(QUICK, epochs=1000, max_minutes=0.0))
    assert (result.stopped, len(result.curve)) == ("minutes", 1)


@pytest.mark.parametrize("stop_after", [1, 2])
def test_a_training_that_was_stopped_goes_on_along_the_same_curve(tmp_path: Path, stop_after):
    whole, whole_scores = train()

    def stop(report: EpochReport) -> None:
        if report.epoch == stop_after:
            raise Interrupted

    state_file = tmp_path / "state.safetensors"
    with pytest.raises(Interrupted):
        train(on_epoch=stop, state_file=state_file)
    resumed: list[int] = []
    rest, scores = train(on_epoch=lambda r: resumed.append(r.epoch), state_file=state_file)
    assert resumed == list(range(stop_after + 1, 4))
    assert [r.loss for r in rest.curve] == [r.loss for r in whole.curve]
    assert scores == whole_scores


def test_a_finished_training_is_not_done_again(tmp_path: Path):
    state_file = tmp_path / "state.safetensors"
    first = train(state_file=state_file)
    again = train(state_file=state_file)
    assert again == first


def test_other_settings_begin_anew(tmp_path: Path):
    state_file = tmp_path / "state.safetensors"
    train(state_file=state_file)
    other = replace(QUICK, lr=0.1)
    assert train(other, state_file=state_file) == train(other)


def test_refuses_to_go_on_from_a_file_that_is_no_state(tmp_path: Path):
    state_file = tmp_path / "state.safetensors"
    state_file.write_bytes(b"half a file")
    with pytest.raises(BadCheckpoint):
        train(state_file=state_file)


def test_a_loss_that_is_no_number_stops_the_training():
    fused = network()
    fused.head[1].weight.data.fill_(float("inf"))
    with pytest.raises(NotFinite, match="videos"):
        fit(fused, ROWS, VAL, QUICK, TARGET)


def test_no_rows_cannot_be_trained_on():
    with pytest.raises(NothingToTrain):
        fit(network(), [], VAL, QUICK, TARGET)
    unlabelled = [replace(row, views_k=None) for row in ROWS]
    with pytest.raises(NothingToTrain, match="no view count"):
        fit(network(), unlabelled, VAL, QUICK, TARGET)


def test_reads_rows_when_it_needs_them():
    read: list[int] = []

    class Watched(list[Example]):
        def __getitem__(self, index):
            read.append(index)
            return super().__getitem__(index)

    fit(network(), Watched(ROWS), [], replace(QUICK, epochs=2), TARGET)
    assert len(read) == 3 * len(ROWS)  # once for the scales, once an epoch


@pytest.mark.parametrize("tau", [0.1, 0.9])
def test_pinball_learns_the_quantile_that_it_is_asked_for(tau):
    same = [replace(row, visual=ROWS[0].visual, audio=None) for row in examples(20)]
    settings = replace(QUICK, epochs=120, batch=20, lr=3e-3, loss="pinball", tau=tau)
    fused = network(replace(TINY_PAPER, dropout=0.0))
    fit(fused, same, [], settings, TARGET)
    learnt = list(scored_k(fused, same, TARGET).values())
    below = np.mean([row.views_k <= k for row, k in zip(same, learnt, strict=True)])
    assert below == pytest.approx(tau, abs=0.1)


def test_classes_are_learnt_by_quarters_of_the_training_rows():
    edges = QuartileEdges.fit([row.views_k or 0.0 for row in ROWS])
    fused = network(replace(TINY, outputs=4))
    settings = replace(QUICK, loss="cross_entropy")
    result = fit(fused, ROWS, VAL, settings, TARGET, edges=edges)
    assert result.curve[-1].train_loss < result.curve[0].train_loss


def test_a_classifier_without_borders_cannot_be_trained():
    settings = replace(QUICK, loss="cross_entropy")
    with pytest.raises(BadSetting, match="edges"):
        fit(network(replace(TINY, outputs=4)), ROWS, VAL, settings, TARGET)


def test_a_loss_must_be_of_what_the_network_says():
    edges = QuartileEdges((1.0, 2.0, 3.0))
    with pytest.raises(BadSetting, match="cross_entropy is for classes"):
        fit(network(replace(TINY, outputs=4)), ROWS, VAL, QUICK, TARGET)
    settings = replace(QUICK, loss="cross_entropy")
    with pytest.raises(BadSetting, match="one number"):
        fit(network(), ROWS, VAL, settings, TARGET, edges=edges)


def test_in_bf16_it_learns_about_the_same():
    exact, _ = train()
    rounded, _ = train(replace(QUICK, precision="bf16"))
    assert rounded.curve != exact.curve
    assert rounded.best_loss == pytest.approx(exact.best_loss, rel=0.05)


def test_weights_stay_in_full_precision():
    fused = network()
    fit(fused, ROWS, VAL, replace(QUICK, precision="bf16"), TARGET)
    assert {parameter.dtype for parameter in fused.parameters()} == {torch.float32}


def test_the_last_weights_can_be_kept_instead_of_the_best():
    long = replace(QUICK, epochs=12, decay="none")
    best, last = network(), network()
    result = fit(best, ROWS, CONTRARY, long, TARGET)
    fit(last, ROWS, CONTRARY, replace(long, keep="last"), TARGET)
    assert result.best_epoch < 12
    assert not torch.equal(best.head[1].weight, last.head[1].weight)
    until = replace(long, keep="last", epochs=result.best_epoch)
    again = network()
    fit(again, ROWS, CONTRARY, until, TARGET)
    assert torch.equal(best.head[1].weight, again.head[1].weight)


def test_the_best_weights_are_in_the_state_file_and_not_in_memory(tmp_path: Path):
    long = replace(QUICK, epochs=12, decay="none")
    kept, from_file = network(), network()
    result = fit(kept, ROWS, CONTRARY, long, TARGET)
    state_file = tmp_path / "state.safetensors"
    fit(from_file, ROWS, CONTRARY, long, TARGET, state_file=state_file)
    assert result.best_epoch < 12
    for ours, theirs in zip(kept.parameters(), from_file.parameters(), strict=True):
        assert torch.equal(ours, theirs)
    held = load_weights(state_file).tensors
    assert torch.equal(held["best.head.1.weight"], kept.head[1].weight)
    assert not torch.equal(held["last.head.1.weight"], kept.head[1].weight)


def test_a_gpu_that_is_not_there_is_not_replaced_by_something_else(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(DeviceMissing, match="finds no GPU"):
        train(replace(QUICK, device="cuda"))


@pytest.mark.gpu
def test_trains_on_a_gpu_as_on_a_cpu():
    fused = network(replace(TINY, dropout=0.0, modality_drop=0.0))
    settings = replace(QUICK, device="cuda")
    result = fit(fused, ROWS, VAL, settings, TARGET)
    plain = network(replace(TINY, dropout=0.0, modality_drop=0.0))
    same = fit(plain, ROWS, VAL, QUICK, TARGET)
    assert result.best_loss == pytest.approx(same.best_loss, rel=1e-3)
