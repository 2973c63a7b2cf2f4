import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from model.batches import Dataset, Example
from model.errors import (
    BadCheckpoint,
    BadSetting,
    IncompatibleFeatures,
    NotFinite,
    NothingToTrain,
)
from model.fit import FitConfig, FitResult, Scorer, fit, predict
from model.registry import PRESETS
from model.targets import TargetTransform
from model.training_state import EpochReport
from tests.model.factories import TINY, TINY_PAPER, dataset, examples, network

QUICK = FitConfig(epochs=3, batch=4, lr=1e-3, patience=None)
ROWS = examples(8)
VAL = examples(4, seed=1)
TARGET = TargetTransform.fit([row.views_k or 0.0 for row in ROWS], "log1p")


class Interrupted(Exception):
    pass


def train(config: FitConfig = QUICK, **keywords: object) -> tuple[FitResult, list[float]]:
    fused = network()
    result = fit(fused, dataset(ROWS), dataset(VAL), config, TARGET, **keywords)
    return result, [views_k for _, views_k in predict(fused, dataset(VAL), TARGET)]


@pytest.mark.parametrize("config", [TINY, TINY_PAPER])
def test_overfits_eight_examples(config):
    fused = network(replace(config, dropout=0.0, modality_drop=0.0))
    settings = FitConfig(epochs=120, batch=8, lr=3e-3, weight_decay=0.0, patience=None)
    fit(fused, dataset(ROWS), dataset([]), settings, TARGET)
    learnt = [views_k for _, views_k in predict(fused, dataset(ROWS), TARGET)]
    wanted = [row.views_k for row in ROWS]
    np.testing.assert_allclose(np.log1p(learnt), np.log1p(wanted), atol=0.1)


def test_the_paper_settings_do_not_train():
    settings = PRESETS["paper"].fit
    assert settings is not None
    target = TargetTransform.fit([row.views_k or 0.0 for row in ROWS], "standard")
    fused, untouched = network(TINY_PAPER), network(TINY_PAPER)
    fit(fused, dataset(ROWS), dataset(VAL), settings, target)
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
    result = fit(fused, dataset(ROWS), dataset(VAL), wild, TARGET, on_epoch=seen.append)
    losses = [report.loss for report in seen]
    assert result.best_loss == min(losses)
    assert losses[result.best_epoch - 1] == min(losses)
    scaled = TARGET.apply([views_k for _, views_k in predict(fused, dataset(VAL), TARGET)])
    gaps = np.abs(scaled - TARGET.apply([row.views_k for row in VAL]))
    huber = np.where(gaps < 1, gaps**2 / 2, gaps - 0.5).mean()
    if max(scaled) < TARGET.apply(TARGET.ceiling_k):  # else the ceiling moved a score
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


def test_refuses_to_go_on_from_another_training(tmp_path: Path):
    state_file = tmp_path / "state.safetensors"
    train(state_file=state_file)
    with pytest.raises(BadCheckpoint, match="another training"):
        train(replace(QUICK, lr=0.1), state_file=state_file)


def test_refuses_to_go_on_from_a_file_that_is_no_state(tmp_path: Path):
    state_file = tmp_path / "state.safetensors"
    state_file.write_bytes(b"half a file")
    with pytest.raises(BadCheckpoint):
        train(state_file=state_file)


def test_a_loss_that_is_no_number_stops_the_training():
    fused = network()
    fused.head[1].weight.data.fill_(float("inf"))
    with pytest.raises(NotFinite, match="videos"):
        fit(fused, dataset(ROWS), dataset(VAL), QUICK, TARGET)


def test_no_rows_cannot_be_trained_on():
    with pytest.raises(NothingToTrain):
        fit(network(), dataset([]), dataset(VAL), QUICK, TARGET)
    unlabelled = [replace(row, views_k=None) for row in ROWS]
    with pytest.raises(NothingToTrain, match="no view count"):
        fit(network(), dataset(unlabelled), dataset(VAL), QUICK, TARGET)


def test_reads_rows_when_it_needs_them():
    held: list[int] = []

    def load(row: Example) -> Example:
        held.append(row.video_id)
        return row

    fit(network(), Dataset(ROWS, load), dataset([]), replace(QUICK, epochs=2), TARGET)
    assert len(held) == 3 * len(ROWS)  # once for the scales, once an epoch


def test_a_score_is_the_same_to_the_last_bit_in_any_order():
    fused = network()
    forward = dict(predict(fused, dataset(ROWS), TARGET))
    backward = dict(predict(fused, dataset(ROWS[::-1]), TARGET))
    assert forward == backward
    assert dict(predict(fused, dataset(ROWS[2:3]), TARGET)).items() <= forward.items()


def test_scoring_turns_dropout_off():
    scorer = Scorer(network(replace(TINY, dropout=0.5)), TARGET)
    scorer.network.train()
    assert len({scorer(ROWS[0]) for _ in range(5)}) == 1


def test_one_row_that_cannot_be_scored_costs_one_row():
    scorer = Scorer(network(), TARGET)
    with pytest.raises(IncompatibleFeatures):
        scorer(Example(1, visual=torch.zeros(8, 4, 5)))
    assert scorer(ROWS[0]) >= 0
    scorer.network.head[1].weight.data.fill_(float("nan"))
    with pytest.raises(NotFinite, match="video 1 "):
        scorer(ROWS[0])


def test_the_learning_rate_rises_and_falls():
    config = FitConfig(epochs=10, lr=1.0, warmup_epochs=2)
    assert config.lr_at(0) == 0
    assert config.lr_at(1) == pytest.approx(0.5 * 0.5 * (1 + math.cos(math.pi / 10)))
    assert config.lr_at(10) == pytest.approx(0)
    assert replace(config, decay="none").lr_at(7) == 1.0


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
    ],
)
def test_refuses_settings_that_cannot_train(settings):
    with pytest.raises(BadSetting):
        FitConfig(**settings)


@pytest.mark.gpu
def test_trains_on_a_gpu_as_on_a_cpu():
    fused = network(replace(TINY, dropout=0.0, modality_drop=0.0))
    result = fit(fused, dataset(ROWS), dataset(VAL), QUICK, TARGET, device="cuda")
    plain = network(replace(TINY, dropout=0.0, modality_drop=0.0))
    same = fit(plain, dataset(ROWS), dataset(VAL), QUICK, TARGET)
    assert result.best_loss == pytest.approx(same.best_loss, rel=1e-3)
