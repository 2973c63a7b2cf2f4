"""Pretraining: it learns, it stops, and an interruption leaves no trace in the result."""

import dataclasses
import json
import math
import subprocess
import sys
import weakref
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from features import weights
from features.video.convlstm import ConvLstmAutoencoder, reconstruction_loss
from features.video.visual import load_autoencoder, pad
from features.weights import load_weights, weights_sha256
from model.errors import BadCheckpoint, NotFinite, NothingToTrain
from model.settings import PretrainConfig
from model.training.loop import EpochReport
from model.training.pretraining import pretrain, save_autoencoder
from model.training.world import join
from tests.model import pretrain_process
from tests.programs import HANG_S

# fp32: "auto" would be another curve on another machine.
CONFIG = PretrainConfig(hidden=4, epochs=5, batch=2, lr=1e-2, precision="fp32")
TRAIN, VAL = [4, 0, 2, 3, 6], [1, 5, 7]


class Interrupted(Exception):
    """Stands for whatever may stop a training."""


def read_clip(index: int) -> NDArray[np.uint8]:
    """A clip of 1 to 3 frames whose upper half is bright."""
    generator = np.random.default_rng(index)
    clip = generator.integers(0, 60, (3, 1 + index % 3, 4, 3), np.uint8)
    clip[:, :, :2] += 190
    return clip


def read_clip_or_its_opposite(index: int) -> NDArray[np.uint8]:
    """A clip; the held-out ones are bright below, so each step towards the others leads away."""
    return 255 - read_clip(index) if index in VAL else read_clip(index)


def train(
    checkpoint: Path,
    config: PretrainConfig = CONFIG,
    read: Callable[[int], NDArray[np.uint8]] = read_clip,
    on_epoch: Callable[[EpochReport], None] = lambda _epoch: None,
    indices: tuple[list[int], list[int]] = (TRAIN, VAL),
) -> tuple[ConvLstmAutoencoder, list[EpochReport]]:
    found = pretrain(read, *indices, config, state_file=checkpoint, on_epoch=on_epoch)
    return found.best, list(found.curve)


def assert_same(left: ConvLstmAutoencoder, right: ConvLstmAutoencoder) -> None:
    states = left.state_dict(), right.state_dict()
    assert states[0].keys() == states[1].keys()
    for name, tensor in states[0].items():
        assert torch.equal(tensor, states[1][name]), name


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory) -> tuple[ConvLstmAutoencoder, list[EpochReport]]:
    return train(tmp_path_factory.mktemp("undisturbed") / "checkpoint")


def test_the_loss_falls(tmp_path):
    told: list[EpochReport] = []
    config = dataclasses.replace(CONFIG, epochs=12)
    _network, curve = train(tmp_path / "c", config, on_epoch=told.append)
    assert told == curve
    assert [report.epoch for report in curve] == list(range(1, 13))
    assert curve[-1].train_loss < 0.7 * curve[0].train_loss
    assert curve[-1].loss < 0.7 * curve[0].loss


def test_the_network_of_the_best_epoch_is_given_and_its_loss_counts_frames_alike(undisturbed):
    network, curve = undisturbed
    assert not network.training
    squares, n_frames = 0.0, 0
    for index in VAL:
        clip, lengths = pad([read_clip(index)], network.config)
        with torch.inference_mode():
            mse = reconstruction_loss(network(clip, lengths)[1], clip, lengths).item()
        squares += mse * clip.shape[2]
        n_frames += clip.shape[2]
    best = min(epoch.loss for epoch in curve)
    assert squares / n_frames == pytest.approx(best, rel=1e-5)


def test_the_last_epoch_is_not_given_when_an_earlier_one_was_better(tmp_path):
    config = dataclasses.replace(CONFIG, epochs=10, patience=None)
    network, curve = train(tmp_path / "c", config, read_clip_or_its_opposite)
    best = min(curve, key=lambda epoch: epoch.loss)
    assert best.epoch < 10
    saved = load_weights(tmp_path / "c")
    assert saved.extra["best_epoch"] == best.epoch
    for name, tensor in network.state_dict().items():
        assert torch.equal(tensor, saved.tensors[f"best.{name}"])
    assert not torch.equal(
        saved.tensors["best.painter.weight"], saved.tensors["last.painter.weight"]
    )


@pytest.mark.parametrize("epoch", [1, 2, 4])
def test_an_interrupted_training_goes_on_as_if_nothing_had_been(tmp_path, undisturbed, epoch):
    n_read = 0

    def stop_half_way(index: int) -> NDArray[np.uint8]:
        nonlocal n_read
        n_read += 1
        if n_read == epoch * (len(TRAIN) + len(VAL)) + 4:  # in the middle of the next epoch
            raise Interrupted
        return read_clip(index)

    checkpoint, told = tmp_path / "c", []
    with pytest.raises(Interrupted):
        train(checkpoint, read=stop_half_way, on_epoch=told.append)
    assert len(told) == epoch
    torch.manual_seed(99)  # nothing may hang on the state of the process that goes on
    told.clear()
    network, curve = train(checkpoint, on_epoch=told.append)
    assert curve == told == undisturbed[1]
    assert_same(network, undisturbed[0])


def test_a_finished_training_is_not_done_again(tmp_path, undisturbed):
    checkpoint = tmp_path / "c"
    train(checkpoint)
    sha256 = weights_sha256(checkpoint)

    def refuse(index: int) -> NDArray[np.uint8]:
        raise AssertionError(index)

    network, curve = train(checkpoint, read=refuse)
    assert curve == undisturbed[1]
    assert_same(network, undisturbed[0])
    assert weights_sha256(checkpoint) == sha256


def test_it_leaves_the_callers_random_numbers_alone(tmp_path):
    before = torch.get_rng_state()
    train(tmp_path / "c", dataclasses.replace(CONFIG, epochs=1))
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("change", [{"lr": 2e-2}, {"seed": 1}, {"hidden": 3}, {"batch": 3}])
def test_other_settings_start_afresh(tmp_path, undisturbed, change):
    other = dataclasses.replace(CONFIG, epochs=2, **change)
    train(tmp_path / "c")
    network, curve = train(tmp_path / "c", other)
    fresh_network, fresh_curve = train(tmp_path / "fresh", other)
    assert curve == fresh_curve != undisturbed[1][:2]
    assert_same(network, fresh_network)


def test_other_clips_start_afresh(tmp_path):
    config = dataclasses.replace(CONFIG, epochs=2)
    train(tmp_path / "c", config)
    more = ([*TRAIN, 8], VAL)
    assert (
        train(tmp_path / "c", config, indices=more)[1]
        == train(tmp_path / "fresh", config, indices=more)[1]
    )


def test_another_kind_of_file_is_not_overwritten(tmp_path, undisturbed):
    path = tmp_path / "c"
    save_autoencoder(path, undisturbed[0], {})
    with pytest.raises(BadCheckpoint, match="no training state"):
        train(path)
    assert load_autoencoder(path).config.hidden == 4


def test_a_failed_checkpoint_leaves_the_last_one(tmp_path, monkeypatch, undisturbed):
    checkpoint = tmp_path / "c"
    save, n_saved = weights.write_tensors, 0

    def fail_third(target, tensors, metadata):
        nonlocal n_saved
        n_saved += 1
        if n_saved == 3:
            target.write_bytes(b"half")
            raise OSError("disk full")
        return save(target, tensors, metadata)

    with monkeypatch.context() as patch:
        patch.setattr(weights, "write_tensors", fail_third)
        with pytest.raises(OSError, match="disk full"):
            train(checkpoint)
    assert list(tmp_path.iterdir()) == [checkpoint]
    assert len(load_weights(checkpoint).extra["curve"]) == 2
    network, curve = train(checkpoint)
    assert curve == undisturbed[1]
    assert_same(network, undisturbed[0])


def test_it_stops_when_the_validation_loss_stays(tmp_path):
    config = dataclasses.replace(CONFIG, epochs=40, lr=1e-30, patience=3)
    _network, curve = train(tmp_path / "c", config)
    assert len(curve) == 4  # the first is the best, three more are no better
    assert len(train(tmp_path / "c", config)[1]) == 4
    _network, curve = train(tmp_path / "d", dataclasses.replace(config, epochs=6, patience=None))
    assert len(curve) == 6


def test_a_loss_that_is_not_finite_ends_it_and_keeps_the_last_checkpoint(tmp_path, monkeypatch):
    checkpoint, told = tmp_path / "c", []

    def spoil(report: EpochReport) -> None:
        told.append(report)
        if report.epoch == 2:
            monkeypatch.setattr(
                "model.training.pretraining.reconstruction_loss",
                lambda reconstruction, *_: reconstruction.mean() * math.nan,
            )

    with pytest.raises(NotFinite, match=r"nan in epoch 3; lower lr 0\.01"):
        train(checkpoint, on_epoch=spoil)
    saved = load_weights(checkpoint)
    assert len(told) == len(saved.extra["curve"]) == 2
    assert all(bool(t.isfinite().all()) for t in saved.tensors.values())


def test_a_rate_beyond_all_reason_is_noticed(tmp_path):
    with pytest.raises(NotFinite, match="lower lr"):
        train(tmp_path / "c", dataclasses.replace(CONFIG, lr=1e30))
    assert not (tmp_path / "c").exists()


def test_clips_are_read_when_needed_and_not_kept(tmp_path):
    alive: set[int] = set()
    n_read, most = 0, 0

    def read(index: int) -> NDArray[np.uint8]:
        nonlocal n_read, most
        n_read += 1
        alive.add(n_read)
        most = max(most, len(alive))
        clip = read_clip(index)
        weakref.finalize(clip, alive.remove, n_read)
        return clip

    train(tmp_path / "c", dataclasses.replace(CONFIG, epochs=2), read=read)
    assert most <= 3 * CONFIG.batch
    assert not alive


@pytest.mark.parametrize("indices", [([], VAL), (TRAIN, [])])
def test_without_clips_there_is_nothing_to_train(tmp_path, indices):
    with pytest.raises(NothingToTrain, match="must be 1 or more"):
        train(tmp_path / "c", indices=indices)


@pytest.mark.parametrize(
    "setting",
    [
        {"epochs": 0},
        {"batch": 0},
        {"lr": 0.0},
        {"lr": math.nan},
        {"hidden": 0},
        {"patience": 0},
        {"precision": "fp8"},
        {"device": "tpu"},
    ],
)
def test_settings_that_cannot_train_are_refused(setting):
    with pytest.raises(ValueError, match=next(iter(setting))):
        PretrainConfig(**setting)


def test_the_defaults_are_the_papers_but_for_the_patience():
    config = PretrainConfig()
    assert (config.hidden, config.epochs, config.batch, config.lr) == (64, 200, 4, 1e-4)
    assert config.patience == 20


def test_the_saved_network_is_the_one_that_was_trained(tmp_path, undisturbed):
    network, _curve = undisturbed
    sha256 = save_autoencoder(tmp_path / "w", network, {})
    again = load_autoencoder(tmp_path / "w").eval()
    assert_same(again, network)
    assert load_weights(tmp_path / "w").sha256 == sha256
    clip, lengths = pad([read_clip(2), read_clip(3)], network.config)
    with torch.inference_mode():
        assert torch.equal(again(clip, lengths)[1], network(clip, lengths)[1])


def test_the_last_epoch_is_kept_beside_the_best(tmp_path):
    config = dataclasses.replace(CONFIG, epochs=10, patience=None)
    found = pretrain(
        read_clip_or_its_opposite,
        TRAIN,
        VAL,
        config,
        state_file=tmp_path / "c",
        on_epoch=lambda _epoch: None,
    )
    saved = load_weights(tmp_path / "c").tensors
    assert found.best_epoch.epoch < 10
    assert torch.equal(found.last.painter.weight, saved["last.painter.weight"])
    assert torch.equal(found.best.painter.weight, saved["best.painter.weight"])


def test_who_watches_the_network_changes_nothing(tmp_path, undisturbed):
    seen = []
    found = pretrain(
        read_clip,
        TRAIN,
        VAL,
        CONFIG,
        state_file=tmp_path / "c",
        on_epoch=lambda _epoch: None,
        on_network=lambda number, network: seen.append((number, network.training)),
    )
    assert seen == [(number, False) for number in range(1, 6)]
    assert list(found.curve) == undisturbed[1]


def test_bfloat16_learns_as_fp32_does(tmp_path):
    config = dataclasses.replace(CONFIG, hidden=8, epochs=8)
    _network, exact = train(tmp_path / "a", config)
    network, curve = train(tmp_path / "b", dataclasses.replace(config, precision="bf16"))
    assert all(p.dtype == torch.float32 for p in network.parameters())
    assert curve != exact
    for left, right in zip(curve, exact, strict=True):
        assert left.loss == pytest.approx(right.loss, rel=0.02)


def test_an_interrupted_training_in_bfloat16_goes_on_along_its_curve(tmp_path):
    config = dataclasses.replace(CONFIG, precision="bf16")
    whole = train(tmp_path / "a", config)[1]

    def stop(report: EpochReport) -> None:
        if report.epoch == 2:
            raise Interrupted

    with pytest.raises(Interrupted):
        train(tmp_path / "b", config, on_epoch=stop)
    assert train(tmp_path / "b", config)[1] == whole


def test_another_machine_goes_on_with_a_training(tmp_path, undisturbed):
    train(tmp_path / "c", dataclasses.replace(CONFIG, device="cpu"))

    def refuse(index: int) -> NDArray[np.uint8]:
        raise AssertionError(index)

    assert train(tmp_path / "c", read=refuse)[1] == undisturbed[1]


def test_losses_of_normalised_pixels_are_told_on_the_same_scale(tmp_path):
    config = dataclasses.replace(CONFIG, epochs=1, lr=1e-30)
    exact = train(tmp_path / "a", config)[1][0]
    network, curve = train(tmp_path / "b", dataclasses.replace(config, normalised=True))
    assert network.config.normalised
    assert curve[0].loss == pytest.approx(exact.loss, rel=0.2)  # both paint the middle grey


def test_two_processes_train_what_one_does(tmp_path):
    alone, folder = tmp_path / "alone", tmp_path / "two"
    alone.mkdir()
    folder.mkdir()
    pretrain_process.main(alone)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    subprocess.run(
        [*command, "-m", "tests.model.pretrain_process", str(folder)],
        cwd=Path(__file__).resolve().parents[3],
        check=True,
        timeout=HANG_S,
    )
    expected = load_weights(alone / "rank-0")
    for rank in range(2):
        summary = json.loads((folder / f"rank-{rank}.json").read_text(encoding="utf-8"))
        assert summary == {"size": 2, "told": {"from": 0}}
        found = load_weights(folder / f"rank-{rank}")
        for left, right in zip(found.extra["curve"], expected.extra["curve"], strict=True):
            assert left == pytest.approx(right, rel=1e-5)
        for name, tensor in expected.tensors.items():
            torch.testing.assert_close(found.tensors[name], tensor, atol=1e-5, rtol=1e-4)
    # To the bit, or they would drift apart.
    two = [load_weights(folder / f"rank-{rank}").tensors for rank in range(2)]
    assert all(torch.equal(two[0][name], two[1][name]) for name in two[0])


@pytest.mark.gpu
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_gpu_learns_as_the_processor_does(tmp_path, precision):
    config = dataclasses.replace(CONFIG, precision=precision, device="cuda")
    expected = train(tmp_path / "cpu", dataclasses.replace(config, device="cpu"))[1]
    with join("cuda") as world:
        found = pretrain(
            read_clip,
            TRAIN,
            VAL,
            config,
            state_file=tmp_path / "gpu",
            on_epoch=lambda _epoch: None,
            world=world,
        )
    for left, right in zip(found.curve, expected, strict=True):
        assert left.loss == pytest.approx(right.loss, rel=0.02)


@pytest.mark.parametrize("depth", ["longest", "fixed", "pooled"])
def test_each_way_of_making_a_batch_trains_and_is_kept_with_the_network(tmp_path, depth):
    config = dataclasses.replace(CONFIG, epochs=3, depth=depth, depth_frames=2)
    network, curve = train(tmp_path / "c", config)
    assert (network.config.depth, network.config.depth_frames) == (depth, 2)
    assert curve[-1].train_loss < curve[0].train_loss
    batch, lengths = pad([read_clip(2), read_clip(3)], network.config)
    n_frames = 3 if depth == "longest" else 2
    assert (batch.shape[2], int(lengths.max())) == (n_frames, n_frames)


def test_an_unknown_way_of_making_a_batch_is_refused():
    with pytest.raises(ValueError, match="'longest', 'fixed' or 'pooled'"):
        dataclasses.replace(CONFIG, depth="stretched")
    with pytest.raises(ValueError, match="depth_frames"):
        dataclasses.replace(CONFIG, depth="fixed", depth_frames=0)
