from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch

from model.batches import Example, batches, collate
from model.checkpoint import ModelCard, load_checkpoint, save_checkpoint
from model.errors import IncompatibleFeatures
from model.kinds import KINDS, find_kind
from model.network import Network
from model.networks.cnn3d import Cnn3dConfig
from model.scoring import Scorer
from model.solved.baselines import Constants
from model.targets import QuartileEdges, TargetTransform
from model.training.fit import FitConfig, fit
from tests.model.factories import (
    TINY,
    TINY_CNN3D,
    TINY_PAPER,
    TINY_SWIN3D,
    dataset,
    examples,
    scored_k,
    watched_examples,
)


@dataclass(frozen=True)
class Tried:
    """A network of a kind that is trained, and rows for it."""

    kind: str
    config: object
    rows: list[Example]
    lr: float = 3e-3
    epochs: int = 100

    def build(self, **settings: object) -> Network:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            return find_kind(self.kind).build(replace(self.config, **settings)).eval()

    def still(self) -> dict[str, float]:
        """Its settings that draw at random, off."""
        names = ("dropout", "modality_drop", "stochastic_depth")
        return {name: 0.0 for name in names if hasattr(self.config, name)}


SEEN, WATCHED = examples(8), watched_examples(8)
HEARD = [replace(row, audio=torch.randn(3, 8)) if row.audio is None else row for row in SEEN]
TRIED = {
    "fused": Tried("fused", TINY, SEEN),
    "fused of the paper": Tried("fused", TINY_PAPER, SEEN),
    "fused that only looks": Tried("fused", replace(TINY, modalities="visual"), SEEN),
    "fused that only listens": Tried("fused", replace(TINY, modalities="audio"), HEARD),
    "fused with a deep head": Tried("fused", replace(TINY, head="deep"), SEEN, lr=1e-3),
    "swin3d": Tried("swin3d", TINY_SWIN3D, WATCHED),
    "swin3d pooled": Tried(
        "swin3d", replace(TINY_SWIN3D, head="pooled", pixels="unit"), WATCHED, epochs=300
    ),
    "cnn3d": Tried("cnn3d", replace(TINY_CNN3D, pixels="standard"), WATCHED, 1e-2, 300),
    "cnn3d of the paper": Tried("cnn3d", TINY_CNN3D, WATCHED, 1e-4, 300),
}
each_network = pytest.mark.parametrize("tried", TRIED.values(), ids=TRIED.keys())


def views_of(rows: list[Example]) -> list[float]:
    return [row.views_k or 0.0 for row in rows]


def test_every_kind_that_is_trained_is_tried():
    trained = {name for name, kind in KINDS.items() if kind.solve is None}
    assert {tried.kind for tried in TRIED.values()} == trained


@each_network
def test_overfits_eight_examples(tried):
    network, rows = tried.build(**tried.still()), dataset(tried.rows)
    target = TargetTransform.fit(views_of(tried.rows), "log1p")
    settings = FitConfig(
        epochs=tried.epochs, batch=8, lr=tried.lr, weight_decay=0.0, patience=None, device="cpu"
    )
    fit(network, rows, dataset([]), settings, target)
    learnt = np.array(list(scored_k(network, rows, target).values()))
    actual = np.log1p(views_of(tried.rows))
    # Against what the best constant leaves. How much a step overshoots is the processor's matter:
    # here it is 0.005 at most.
    assert np.square(np.log1p(learnt) - actual).mean() < 0.05 * actual.var()


@each_network
def test_a_classifier_learns_the_quarters_of_eight_examples(tried):
    network, rows = tried.build(**tried.still(), outputs=4), dataset(tried.rows)
    edges = QuartileEdges.fit(views_of(tried.rows))
    target = TargetTransform("raw")
    settings = FitConfig(
        epochs=tried.epochs,
        batch=8,
        lr=tried.lr,
        weight_decay=0.0,
        patience=None,
        loss="cross_entropy",
        device="cpu",
    )
    fit(network, rows, dataset([]), settings, target, edges=edges)
    scorer = Scorer(network, target, edges, edges.medians(views_of(tried.rows)))
    chosen = [scorer(row).quartile for row in rows]
    assert chosen == edges.classify(views_of(tried.rows)).tolist()


@each_network
@pytest.mark.parametrize("outputs", [1, 4])
def test_says_one_number_or_four_of_each_row(tried, outputs):
    network = tried.build(outputs=outputs)
    said = network(collate(tried.rows[:3], network.shapes))
    assert said.shape == ((3,) if outputs == 1 else (3, 4))
    stated = network.outputs(collate(tried.rows[:3], network.shapes))
    assert (stated.point is None) == (outputs == 4) == (stated.classes is not None)


@each_network
def test_a_score_does_not_depend_on_its_batch(tried):
    network = tried.build()
    with torch.inference_mode():
        together = network(collate(tried.rows, network.shapes))
        alone = torch.cat([network(collate([row], network.shapes)) for row in tried.rows])
    torch.testing.assert_close(together, alone)


@each_network
def test_a_score_is_the_same_to_the_last_bit_in_any_order(tried):
    network, target = tried.build(), TargetTransform("standard", 10.0, 3.0)
    forward = scored_k(network, tried.rows, target)
    assert scored_k(network, tried.rows[::-1], target) == forward


@each_network
def test_what_is_read_back_scores_equal_to_the_last_bit(tried, tmp_path):
    network, rows = tried.build(), dataset(tried.rows)
    network.prepare(batches(rows, network.shapes, 3))
    views_k = views_of(tried.rows)
    card = ModelCard(
        tried.kind,
        TargetTransform.fit(views_k, "standard"),
        QuartileEdges.fit(views_k),
        Constants.fit(views_k),
    )
    save_checkpoint(tmp_path / "model.safetensors", network, card)
    again = load_checkpoint(tmp_path / "model.safetensors").network
    assert again.config == network.config
    before = scored_k(network, rows, card.target)
    assert scored_k(again, rows, card.target) == before


@each_network
def test_refuses_features_of_another_shape(tried):
    network = tried.build()
    row = tried.rows[0]
    larger = {
        name: torch.zeros(*shape[:-1], shape[-1] + 1).to(torch.uint8)
        for name, shape in vars(network.shapes).items()
        if shape is not None
    }
    with pytest.raises(IncompatibleFeatures, match=f"of video {row.video_id} has shape"):
        Scorer(network, TargetTransform("raw"))(replace(row, **larger))


@each_network
def test_every_parameter_learns(tried):
    network = tried.build().train()
    with torch.random.fork_rng(devices=[]):
        network(collate(tried.rows, network.shapes)).sum().backward()
    still = [name for name, parameter in network.named_parameters() if parameter.grad is None]
    # A token stands in for what a row may lack, and nothing lacks in a network of one modality.
    alone = getattr(network.config, "modalities", "both") != "both"
    assert still == [] or (alone and still == [f"missing.{network.config.modalities}"])


def test_an_ablation_reads_and_needs_less():
    kind = find_kind("fused")
    visual, audio = (replace(TINY, modalities=name) for name in ("visual", "audio"))
    assert (kind.reads_of(visual), kind.needs_of(visual)) == (("visual",), ("visual",))
    assert (kind.reads_of(audio), kind.needs_of(audio)) == (("audio",), ("audio",))
    assert (kind.reads_of(TINY), kind.needs_of(TINY)) == (kind.reads, kind.needs)
    assert find_kind("cnn3d").reads_of(Cnn3dConfig()) == ("clip",)
