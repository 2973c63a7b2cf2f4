from dataclasses import asdict, replace
from pathlib import Path

import pytest
import torch

from features.weights import load_weights, save_weights
from model.baselines import Constants, solve_constant
from model.checkpoint import ModelCard, load_checkpoint, save_checkpoint
from model.errors import BadCheckpoint, IncompatibleFeatures
from model.fit import FitConfig, predict
from model.targets import QuartileEdges, TargetTransform
from tests.model.factories import TINY, TINY_PAPER, batch_of, dataset, examples, network

VIEWS_K = [1.0, 20.0, 300.0, 4000.0]
CARD = ModelCard(
    kind="fused",
    target=TargetTransform.fit(VIEWS_K, "log1p"),
    edges=QuartileEdges.fit(VIEWS_K),
    constants=Constants.fit(VIEWS_K),
    feature_sets={"visual": "a" * 64, "audio": "b" * 64},
    split_sha256="c" * 64,
    seed=3,
    fit=asdict(FitConfig()),
    metrics={"mae_k": 12.5},
)


@pytest.mark.parametrize("config", [TINY, TINY_PAPER])
def test_what_is_read_back_scores_equal_to_the_last_bit(tmp_path: Path, config):
    path = tmp_path / "model.safetensors"
    fused = network(config)
    fused.prepare([batch_of(examples())])
    sha256 = save_checkpoint(path, fused, CARD)
    held = load_checkpoint(path)
    assert held.sha256 == sha256
    assert held.card == CARD
    assert held.network.config == config
    assert not held.network.training
    rows = dataset(examples())
    assert list(predict(held.network, rows, CARD.target)) == list(predict(fused, rows, CARD.target))


def test_a_model_read_back_can_be_trained_further(tmp_path: Path):
    path = tmp_path / "model.safetensors"
    save_checkpoint(path, network(), CARD)
    again = load_checkpoint(path).network.train()
    again(batch_of(examples())).sum().backward()
    assert all(parameter.grad is not None for parameter in again.parameters())


def test_a_constant_is_a_model_like_any_other(tmp_path: Path):
    path = tmp_path / "median.safetensors"
    card = replace(CARD, kind="median", target=TargetTransform("raw"), feature_sets={}, fit={})
    save_checkpoint(path, solve_constant("median", VIEWS_K), card)
    held = load_checkpoint(path)
    assert held.card == card
    assert [k for _, k in predict(held.network, dataset(examples(2)), card.target)] == [160.0] * 2


def test_the_same_model_is_the_same_file(tmp_path: Path):
    shas = {save_checkpoint(tmp_path / f"{i}.safetensors", network(), CARD) for i in range(2)}
    assert len(shas) == 1


def test_refuses_features_of_other_sets():
    CARD.require_features({"visual": "a" * 64, "audio": "b" * 64, "clip": "d" * 64})
    with pytest.raises(IncompatibleFeatures, match="audio features bbbbbbbbbbbb; given were none"):
        CARD.require_features({"visual": "a" * 64})
    with pytest.raises(IncompatibleFeatures, match="given were eeeeeeeeeeee"):
        CARD.require_features({"visual": "e" * 64, "audio": "b" * 64})


@pytest.mark.parametrize("what", ["nothing", "no model", "other kind", "no card", "other tensors"])
def test_refuses_a_file_that_is_no_model(tmp_path: Path, what):
    path = tmp_path / "model.safetensors"
    save_checkpoint(path, network(), CARD)
    held = load_weights(path)
    if what == "nothing":
        path.unlink()
    elif what == "no model":
        path.write_bytes(b"something else")
    elif what == "other kind":
        save_weights(path, "convlstm", held.config, held.tensors, held.extra)
    elif what == "no card":
        save_weights(path, "fused", held.config, held.tensors, {"seed": 1})
    else:
        save_weights(path, "fused", held.config, {"x": torch.zeros(1)}, held.extra)
    with pytest.raises(BadCheckpoint):
        load_checkpoint(path)
