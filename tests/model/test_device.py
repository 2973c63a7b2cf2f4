"""The device setting reaches every stage of a model: pre-training, training, scoring, forecasts."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from click.testing import CliRunner, Result

from catalog.schema.session import upgrade
from cli import main
from features.errors import DeviceMissing
from model.checkpoint import ModelCard, load_checkpoint, save_checkpoint
from model.registry import find_preset
from model.scoring import Scorer
from model.solved.constants import Constants, solve_constant
from model.targets import QuartileEdges, TargetTransform
from model.training.world import join
from tests.model.factories import TINY, examples, network

THERE = "cuda:7"
TARGET = TargetTransform("raw")
CARD = ModelCard("fused", TARGET, QuartileEdges((1.0, 2.0, 3.0)), Constants(1.0, 1.0, 1.0))


class Reached(Exception):
    """What a stage was given, in place of its work."""


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    upgrade(f"sqlite:///{tmp_path / 'catalog.db'}")
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 8)
    return tmp_path


def viewcast(data: Path, *words: str, **environment: str) -> Result:
    return CliRunner(env=environment).invoke(main, ["--data", str(data), *words])


def reached(result: Result) -> dict[str, Any]:
    assert isinstance(result.exception, Reached), result.output
    found: dict[str, Any] = result.exception.args[0]
    return found


def stop_at(monkeypatch: pytest.MonkeyPatch, place: str) -> None:
    def stop(*args: object, **named: object) -> None:
        raise Reached({"args": args, **named})

    monkeypatch.setattr(place, stop)


@pytest.mark.parametrize("setting", ["VIEWCAST_DEVICE", "VIEWCAST_PRETRAIN__DEVICE"])
def test_pretraining_computes_there(data, monkeypatch, setting):
    stop_at(monkeypatch, "model.training.world.join")
    assert reached(viewcast(data, "pretrain", **{setting: THERE}))["args"] == (THERE,)
    told = viewcast(data, "pretrain", "--device", "cuda:1", **{setting: THERE})
    assert reached(told)["args"] == ("cuda:1",)


@pytest.mark.parametrize("setting", ["VIEWCAST_DEVICE", "VIEWCAST_TRAIN__DEVICE"])
def test_a_training_computes_there(data, monkeypatch, setting):
    stop_at(monkeypatch, "model.steps.train.train")
    request = reached(viewcast(data, "train", "fused", **{setting: THERE}))["args"][1]
    assert request.settled().fit.device == THERE
    told = viewcast(data, "train", "fused", "--device", "cuda:1", **{setting: THERE})
    assert reached(told)["args"][1].settled().fit.device == "cuda:1"


def test_a_training_by_the_defaults_is_the_one_that_it_was(data, monkeypatch):
    """The word is stored with the model and tells whether it was trained before."""
    stop_at(monkeypatch, "model.steps.train.train")
    request = reached(viewcast(data, "train", "fused"))["args"][1]
    assert request.settled() == find_preset("fused")


@pytest.mark.parametrize("setting", ["VIEWCAST_DEVICE", "VIEWCAST_SCORE__DEVICE"])
@pytest.mark.parametrize(
    ("place", "words"),
    [
        ("model.steps.score.score", ["score"]),
        ("model.steps.predict.predict", ["predict", "x.mp4"]),
    ],
)
def test_scores_and_forecasts_are_computed_there(data, monkeypatch, setting, place, words):
    stop_at(monkeypatch, place)
    monkeypatch.setattr("catalog.read.lookup.find_model", lambda *_, **__: SimpleNamespace(id=1))
    given = reached(viewcast(data, *words, **{setting: THERE}))
    assert given["device"] == THERE
    if words[0] == "predict":
        is_of_all = setting == "VIEWCAST_DEVICE"
        assert given["visual_device"] == (THERE if is_of_all else "auto")


def test_an_explained_model_is_loaded_there(data, monkeypatch):
    stop_at(monkeypatch, "model.steps.score.load_model")
    found = SimpleNamespace(name="ridge", version=1)
    monkeypatch.setattr("catalog.read.lookup.find_model", lambda *_, **__: found)
    given = reached(viewcast(data, "explain", VIEWCAST_SCORE__DEVICE=THERE))
    assert given["args"][2] == THERE


@pytest.mark.parametrize("words", [["pretrain"], ["train", "fused"]])
def test_a_gpu_that_is_not_there_is_one_line_and_code_3(data, monkeypatch, words):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    result = viewcast(data, *words, VIEWCAST_DEVICE="cuda")
    assert result.exit_code == 3
    assert result.output.splitlines() == [
        "viewcast: device cuda: torch finds no GPU; set device to auto or cpu"
    ]


@pytest.mark.parametrize("words", [["score"], ["extract", "frames"], ["train", "fused"]])
def test_an_unknown_device_is_one_line_and_code_3(data, words):
    result = viewcast(data, *words, VIEWCAST_DEVICE="tpu")
    assert result.exit_code == 3
    [line] = result.output.splitlines()
    assert "setting device (environment)" in line
    assert "auto|cpu|cuda" in line


def test_a_network_is_loaded_there_and_what_was_solved_is_not(data, monkeypatch):
    seen = []
    plain = torch.nn.Module.to

    def record(moved: torch.nn.Module, where: str) -> torch.nn.Module:
        seen.append(where)
        return moved if where == THERE else plain(moved, where)

    save_checkpoint(data / "network", network(), CARD)
    save_checkpoint(data / "solved", solve_constant("mean", [1.0]), replace(CARD, kind="mean"))
    monkeypatch.setattr(torch.nn.Module, "to", record)
    load_checkpoint(data / "network", THERE)
    load_checkpoint(data / "solved", THERE)
    assert seen == [THERE, "cpu"]
    with pytest.raises(DeviceMissing):
        load_checkpoint(data / "network", "cuda:8")


def test_rows_go_where_the_network_is():
    scorer = Scorer(network().to("meta"), TARGET)
    assert scorer.device == torch.device("meta")
    with pytest.raises(NotImplementedError, match="meta"):  # its numbers cannot come back
        scorer(examples(1)[0])


def test_a_training_joins_on_the_gpu_that_was_named(data):
    with join(THERE) as world:
        assert world.device == torch.device(THERE)


@pytest.mark.gpu
def test_a_gpu_scores_as_a_processor_does(tmp_path):
    save_checkpoint(tmp_path / "network", network(replace(TINY, dropout=0.0)), CARD)
    here, there = (
        Scorer(load_checkpoint(tmp_path / "network", device).network, TARGET)
        for device in ("cpu", "cuda")
    )
    assert there.device.type == "cuda"
    for row in examples():
        assert there(row).views_k == pytest.approx(here(row).views_k, rel=1e-4, abs=1e-4)
