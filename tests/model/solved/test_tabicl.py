"""The head over columns, with random weights: what it says is nonsense, how it is said is not."""

import json
from dataclasses import replace
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from cli import main
from features.errors import WeightsMismatch, WeightsMissing
from features.weights import save_weights
from model.checkpoint import ModelCard, load_checkpoint, save_checkpoint
from model.errors import BadSetting, NothingToTrain
from model.registry import find_preset, with_overrides
from model.solved.constants import Constants
from model.solved.tabicl import KIND, TabiclConfig, solve_tabicl
from model.targets import QuartileEdges
from tests.model.rows import log_target, told
from tests.model.solving import Solving, scored

pytestmark = pytest.mark.tabicl

SIZES = {
    "max_classes": 0,
    "num_quantiles": 19,
    "embed_dim": 16,
    "col_num_blocks": 1,
    "col_nhead": 2,
    "col_num_inds": 8,
    "row_num_blocks": 1,
    "row_nhead": 2,
    "row_num_cls": 2,
    "icl_num_blocks": 2,
    "icl_nhead": 2,
    "zero_init": False,
}
TRAIN, VAL, LATER = told(150)[:90], told(150)[90:130], told(150)[130:]


def made(seed: int = 0, **changes):
    network = import_module("tabicl._model.tabicl").TabICL
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return network(**{**SIZES, **changes})


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    """A small network with random weights, as a weights file."""
    file = tmp_path / "head.safetensors"
    save_weights(file, KIND, SIZES, made().state_dict())
    return file


def solved(file: Path, *, train=TRAIN, val=VAL, solving=None, **settings):
    config = TabiclConfig(weights=str(file), text_width=4, tags_width=2, **settings)
    solving = solving or Solving(list(train), list(val))
    return solve_tabicl(config, solving.request())


def test_it_reads_the_rows_that_it_was_given(weights):
    solving = Solving(TRAIN, VAL)
    network = solved(weights, solving=solving)
    said = scored(network, LATER)
    assert said["point"].std() > 0
    assert (said["low"] <= said["point"]).all()
    assert (said["point"] <= said["high"]).all()
    assert solving.notes["tabicl"]["rows"] == 130
    other = solved(weights, train=[replace(row, views_k=9 * row.views_k) for row in TRAIN[:45]])
    assert not np.array_equal(scored(other, LATER)["point"], said["point"])


def test_a_score_does_not_depend_on_its_batch_or_on_what_came_before(weights):
    network = solved(weights)
    first = scored(network, LATER)["point"]
    assert np.array_equal(scored(network, LATER[::-1])["point"][::-1], first)
    torch.testing.assert_close(
        torch.from_numpy(network.ask(network.encoder.encode(LATER).matrix())[:, 1]),
        torch.from_numpy(first),
        rtol=1e-4,
        atol=1e-4,
    )


def test_it_is_saved_whole(weights, tmp_path):
    network = solved(weights)
    said = scored(network, LATER)
    weights.unlink()
    views_k = [row.views_k for row in TRAIN]
    card = ModelCard(KIND, log_target(TRAIN), QuartileEdges.fit(views_k), Constants.fit(views_k))
    save_checkpoint(tmp_path / "model.safetensors", network, card)
    again = scored(load_checkpoint(tmp_path / "model.safetensors").network, LATER)
    assert all(np.array_equal(again[name], said[name]) for name in ("point", "low", "high"))


def test_the_same_rows_and_weights_give_the_same_model(weights):
    first, second = (solved(weights).state_dict() for _ in range(2))
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_published_weights_are_read_as_they_are(weights, tmp_path):
    published = tmp_path / "published.ckpt"
    torch.save({"config": SIZES, "state_dict": made().state_dict()}, published)
    of_both = [scored(solved(file), LATER)["point"] for file in (weights, published)]
    assert np.array_equal(*of_both)


def test_only_the_newest_rows_are_read(weights):
    network = solved(weights, context_rows=20)
    assert network.config.n_context == 20
    assert network.x.shape == (20, network.config.n_columns)


def test_few_validation_rows_make_no_interval(weights):
    network = solved(weights, val=VAL[:4])
    assert not network.config.has_interval
    assert "low" not in scored(network, LATER)


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ({"config": {**SIZES, "max_classes": 10}, "state_dict": {}}, "forecasts a number"),
        ({"config": SIZES, "state_dict": {"a": torch.zeros(1)}}, "does not fit"),
        ({"config": {**SIZES, "wings": 2}, "state_dict": {"a": torch.zeros(1)}}, "does not fit"),
        ({"state_dict": {"a": torch.zeros(1)}}, "forecasts a number"),
    ],
)
def test_other_weights_are_refused(tmp_path, content, why):
    torch.save(content, tmp_path / "other.ckpt")
    with pytest.raises(WeightsMismatch, match=why if content["state_dict"] else "state dict"):
        solved(tmp_path / "other.ckpt")


def test_weights_that_are_missing_or_have_changed_are_said(weights, tmp_path):
    with pytest.raises(BadSetting, match="--weights"):
        solve_tabicl(TabiclConfig(), Solving(TRAIN).request())
    with pytest.raises(WeightsMissing):
        solved(tmp_path / "none.safetensors")
    with pytest.raises(WeightsMismatch, match="has changed"):
        solved(weights, weights_sha256="0" * 64)
    with pytest.raises(NothingToTrain):
        solved(weights, train=TRAIN[:5], val=())


def test_the_columns_are_those_of_the_preset(weights, tmp_path):
    words = ("train", "text", "--head", "tabicl", "--weights", str(weights), "--dry-run", "--json")
    result = CliRunner().invoke(main, ["--data", str(tmp_path), *words])
    assert result.exit_code == 0, result.output
    network = json.loads(result.stdout)["network"]
    assert (network["use_meta"], network["weights"]) == (False, str(weights))
    assert len(network["weights_sha256"]) == 64


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("modern", "--head", "tabicl"), "--head needs --weights"),
        (("modern", "--weights", "x"), "give --head"),
        (("fused", "--head", "tabicl", "--weights", "x"), "no columns"),
    ],
)
def test_a_head_without_what_it_needs_is_refused(words, why, tmp_path):
    result = CliRunner().invoke(main, ["--data", str(tmp_path), "train", *words])
    assert result.exit_code == 2
    assert why in result.output


def test_too_few_context_rows_are_refused():
    with pytest.raises(BadSetting):
        with_overrides(find_preset("tabicl"), network={"context_rows": 3})
