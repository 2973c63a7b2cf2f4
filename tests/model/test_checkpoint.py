import math
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import torch

from features.weights import load_weights, save_weights
from model.checkpoint import ModelCard, load_checkpoint, save_checkpoint
from model.errors import BadCheckpoint, IncompatibleFeatures
from model.scoring import Scorer
from model.solved.constants import Constants, solve_constant
from model.targets import QuartileEdges, TargetTransform
from model.training.fit import FitConfig
from tests.model.factories import TINY, TINY_PAPER, batch_of, examples, network, scored_k

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
    rows = examples()
    assert scored_k(held.network, rows, CARD.target) == scored_k(fused, rows, CARD.target)


READ_AND_SCORE = """
import sys, torch
from pathlib import Path
from model.batches import Example
from model.checkpoint import load_checkpoint
from model.scoring import Scorer

def own_mb():
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("RssAnon")) / 1e3

def score(path):
    held = load_checkpoint(path)
    row = Example(1, torch.zeros(held.network.shapes.visual), torch.zeros(3, 8))
    Scorer(held.network, held.card.target)(row)
    return held

small = score(Path(sys.argv[1]))  # what torch loads at the first use is not the model's
before = own_mb()
held = score(Path(sys.argv[2]))
sys.stdout.write(str(own_mb() - before))
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="Linux tells it in /proc")
def test_a_large_model_is_read_where_it_lies(tmp_path: Path):
    large = replace(TINY_PAPER, height_px=32, width_px=32, channels=24, branch_width=1024)
    for name, config in (("small", TINY_PAPER), ("large", large)):
        save_checkpoint(tmp_path / name, network(config), CARD)
    assert (tmp_path / "large").stat().st_size > 100e6
    done = subprocess.run(
        [sys.executable, "-c", READ_AND_SCORE, str(tmp_path / "small"), str(tmp_path / "large")],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=True,
    )
    assert float(done.stdout) < 15


def test_a_network_of_before_the_log_of_views_forecasts_what_it_did(tmp_path: Path):
    path = tmp_path / "model.safetensors"
    old = replace(CARD, target=TargetTransform("log1p", mean=2.5, sd=1.5, unit_k=1.0))
    save_checkpoint(path, network(), old)
    held = load_weights(path)
    target = dict(held.extra["target"])
    del target["unit_k"]
    save_weights(path, "fused", held.config, held.tensors, {**held.extra, "target": target})
    read = load_checkpoint(path)
    scaled = [read.network(batch_of([row])).item() for row in examples(3)]
    expected = [max(0.0, math.expm1(1.5 * value + 2.5)) for value in scaled]
    said = scored_k(read.network, examples(3), read.card.target)
    assert list(said.values()) == pytest.approx(expected, rel=1e-5)


def test_a_classifier_knows_what_its_quarters_mean(tmp_path: Path):
    medians_k = CARD.edges.medians(VIEWS_K)
    card = replace(CARD, objective="quartile", medians_k=medians_k)
    save_checkpoint(tmp_path / "model.safetensors", network(replace(TINY, outputs=4)), card)
    held = load_checkpoint(tmp_path / "model.safetensors")
    assert held.card == card
    said = Scorer(held.network, card.target, card.edges, held.card.medians_k)(examples(1)[0])
    assert said.views_k == medians_k[said.quartile]


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
    assert list(scored_k(held.network, examples(2), card.target).values()) == [160.0] * 2


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


def test_a_card_keeps_its_label_and_one_of_before_there_were_any_is_of_the_latest_count():
    card = replace(CARD, label="at:7d", horizon_s=604_800)
    assert ModelCard.from_json("fused", card.to_json()) == card
    old = card.to_json()
    del old["label"], old["horizon_s"]
    read = ModelCard.from_json("fused", old)
    assert (read.label, read.horizon_s) == ("latest", None)
