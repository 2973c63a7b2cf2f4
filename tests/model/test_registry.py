import json
from dataclasses import asdict, dataclass, fields, replace

import numpy as np
import pytest
import torch

from model.base import Network, SolveRequest
from model.batches import Example, InputShapes, batches, collate
from model.checkpoint import ModelCard, load_checkpoint, save_checkpoint
from model.errors import BadCheckpoint, BadSetting, IncompatibleFeatures, UnknownKind
from model.networks.cnn3d import Cnn3dConfig
from model.networks.fused import FusedConfig
from model.registry import (
    KINDS,
    PRESETS,
    Solved,
    Trained,
    describe,
    describe_preset,
    find_kind,
    find_preset,
    with_overrides,
)
from model.scoring import Scorer
from model.solved.constants import Constants
from model.targets import QuartileEdges, TargetTransform
from model.training.fit import FitConfig, fit
from tests.model.factories import (
    SHAPES,
    TINY,
    TINY_CNN3D,
    TINY_PAPER,
    TINY_SWIN3D,
    examples,
    scored_k,
    watched_examples,
)
from tests.model.planted import planted


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
    trained = {name for name, kind in KINDS.items() if isinstance(kind, Trained)}
    assert {tried.kind for tried in TRIED.values()} == trained


@each_network
def test_overfits_eight_examples(tried):
    network, rows = tried.build(**tried.still()), tried.rows
    target = TargetTransform.fit(views_of(tried.rows), "log1p")
    settings = FitConfig(
        epochs=tried.epochs, batch=8, lr=tried.lr, weight_decay=0.0, patience=None, device="cpu"
    )
    fit(network, rows, [], settings, target)
    learnt = np.array(list(scored_k(network, rows, target).values()))
    actual = np.log1p(views_of(tried.rows))
    # Against what the best constant leaves. How much a step overshoots is the processor's matter:
    # here it is 0.005 at most.
    assert np.square(np.log1p(learnt) - actual).mean() < 0.05 * actual.var()


@each_network
def test_a_classifier_learns_the_quarters_of_eight_examples(tried):
    network, rows = tried.build(**tried.still(), outputs=4), tried.rows
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
    fit(network, rows, [], settings, target, edges=edges)
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
    network, rows = tried.build(), tried.rows
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


TRAINED = [name for name, preset in PRESETS.items() if preset.fit is not None]
SOLVED = [name for name, preset in PRESETS.items() if preset.fit is None]


@pytest.mark.parametrize("name", PRESETS)
def test_without_a_change_it_is_the_preset(name):
    assert with_overrides(find_preset(name)) == find_preset(name)
    assert with_overrides(find_preset(name), objective="regression") == find_preset(name)


def test_single_settings_change_and_the_others_stay():
    preset = find_preset("paper")
    changed = with_overrides(
        preset,
        network={"modalities": "audio"},
        fit={"epochs": 3, "max_minutes": 5, "patience": 2, "loss": "mse"},
        target="log1p",
    )
    assert changed.name == "paper"
    assert (changed.network.modalities, changed.network.heads) == ("audio", 4)
    assert (changed.reads, changed.needs) == (("audio",), ("audio",))
    assert (changed.fit.epochs, changed.fit.loss, changed.fit.lr) == (3, "mse", 1e-9)
    assert changed.target == "log1p"


@pytest.mark.parametrize("name", TRAINED)
def test_every_network_has_a_classifier(name):
    changed = with_overrides(find_preset(name), objective="quartile")
    assert changed.objective == "quartile"
    assert changed.network.outputs == 4
    assert changed.fit.loss == "cross_entropy"
    back = with_overrides(changed, objective="regression")
    assert (back.network.outputs, back.fit.loss) == (1, "huber")
    assert with_overrides(changed, fit={"epochs": 2}).fit.loss == "cross_entropy"


@pytest.mark.parametrize("name", SOLVED)
def test_what_is_solved_has_a_seed_and_nothing_else_to_train_with(name):
    assert with_overrides(find_preset(name), fit={"seed": 7}) == find_preset(name)
    with pytest.raises(BadSetting, match="no lr"):
        with_overrides(find_preset(name), fit={"seed": 7, "lr": 1e-3})
    with pytest.raises(BadSetting, match="no loss"):
        with_overrides(find_preset(name), fit={"loss": "mse"})
    with pytest.raises(BadSetting, match="no classes"):
        with_overrides(find_preset(name), objective="quartile")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"fit": {"speed": 3}}, "no setting 'speed'"),
        ({"network": {"epochs": 3}}, "no setting 'epochs'"),
        ({"fit": {"epochs": "many"}}, "like 7"),
        ({"fit": {"epochs": True}}, "like 7"),
        ({"network": {"standardise": 1}}, "like False"),
        ({"fit": {"epochs": 0}}, "1 or more"),
        ({"fit": {"loss": "hinge"}}, "hinge"),
        ({"fit": {"loss": "cross_entropy"}}, "contradicts the objective regression"),
        ({"objective": "quartile", "fit": {"loss": "mae"}}, "contradicts the objective quartile"),
        ({"objective": "quartile", "network": {"outputs": 1}}, "contradict"),
        ({"network": {"outputs": 4}}, "contradict the objective regression"),
        ({"objective": "ranking"}, "regression, quartile"),
        ({"target": "log"}, "raw, standard, log1p"),
    ],
)
def test_refuses_what_a_preset_cannot_have(changes, message):
    with pytest.raises(BadSetting, match=message):
        with_overrides(find_preset("paper"), **changes)


def test_the_network_takes_the_size_of_the_features():
    clips = InputShapes(clip=(3, 9, 128, 72))
    assert find_preset("paper-swin").sized(clips).height_px == 128
    assert find_preset("paper-cnn3d").sized(clips).depth == 30  # its own, whatever the clip's
    with pytest.raises(IncompatibleFeatures, match="clip"):
        find_preset("paper-swin").sized(InputShapes(visual=(64, 32, 18)))


def test_an_ablation_needs_no_features_of_the_other_kind():
    shapes = InputShapes(visual=(64, 32, 18))
    alone = with_overrides(find_preset("fused"), network={"modalities": "visual"})
    assert alone.sized(shapes).height_px == 32
    deaf = with_overrides(find_preset("fused"), network={"modalities": "audio"})
    with pytest.raises(IncompatibleFeatures, match="audio"):
        deaf.sized(shapes)


def test_where_no_video_has_sound_the_network_keeps_the_size_of_its_ears():
    preset = find_preset("fused")
    sized = preset.sized(InputShapes(visual=(64, 32, 18)))
    assert (sized.height_px, sized.audio_width) == (32, preset.network.audio_width)


ALL_SHAPES = InputShapes(SHAPES.visual, SHAPES.audio, clip=(3, 9, 16, 12))


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_is_of_a_kind_that_can_build_it(name):
    preset = find_preset(name)
    kind = find_kind(preset.kind)
    assert isinstance(kind, Trained) == (preset.fit is not None)
    if isinstance(kind, Solved):
        return
    with torch.device("meta"):
        network = kind.build(preset.sized(ALL_SHAPES))
    read = {name for name in ("visual", "audio", "clip") if getattr(network.shapes, name)}
    assert read == set(preset.reads) == set(kind.reads)


@pytest.mark.parametrize("name", [name for name, preset in PRESETS.items() if preset.fit])
def test_every_network_is_described_by_the_parameters_it_has(name):
    preset = find_preset(name)
    sized = replace(preset, network=preset.sized(ALL_SHAPES))
    found = describe_preset(sized)
    network = KINDS[preset.kind].build(sized.network)
    assert found["total"] == sum(parameter.numel() for parameter in network.parameters())
    assert found["total"] == sum(found["parts"].values())


@pytest.mark.parametrize("name", PRESETS)
def test_the_config_of_every_preset_survives_json(name):
    preset = PRESETS[name]
    document = json.loads(json.dumps(asdict(preset.network)))
    assert KINDS[preset.kind].config_from_json(document) == preset.network


def test_the_paper_is_the_paper():
    preset = find_preset("paper")
    assert preset.network == FusedConfig()
    assert preset.target == "standard"
    assert preset.fit is not None
    fit = preset.fit
    assert (fit.lr, fit.weight_decay, fit.epochs, fit.batch) == (1e-9, 1e-3, 7, 4)
    assert (fit.optimiser, fit.loss, fit.lr_at(0.1), fit.lr_at(7)) == ("adam", "mae", 1e-9, 1e-9)
    assert "does not train" in preset.summary


def test_describes_the_paper_by_its_published_count():
    found = describe("paper")
    assert (found["total"], found["published"]) == (835_170_945, 836_484_738)
    assert found["network"]["layers"] == 2


def test_the_paper_s_baselines_are_the_paper_s():
    swin, scaled, cnn3d = (
        find_preset(f"paper-{name}") for name in ("swin", "swin-scaled", "cnn3d")
    )
    settings = [
        (p.fit.lr, p.fit.weight_decay, p.fit.epochs, p.fit.batch, p.fit.optimiser, p.fit.loss)
        for p in (swin, scaled, cnn3d)
        if p.fit is not None
    ]
    assert settings == [
        (1e-4, 1e-4, 20, 20, "adam", "mae"),
        (1e-5, 1e-4, 20, 15, "adam", "mae"),
        (1e-5, 0.9, 20, 10, "adam", "mae"),
    ]
    assert [p.target for p in (swin, scaled, cnn3d)] == ["raw", "standard", "raw"]
    assert swin.network.final_relu
    assert not scaled.network.final_relu


def test_the_swin_network_s_rate_rises_by_epochs_as_the_paper_s():
    fit = find_preset("paper-swin").fit
    theirs = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1e-4)
    schedule = torch.optim.lr_scheduler.LinearLR(theirs, 1 / 3, 1.0, 10)
    rates = []
    for _ in range(20):
        rates.append(theirs.param_groups[0]["lr"])
        theirs.step()
        schedule.step()
    assert fit.lr_every == "epoch"
    assert [fit.lr_at(epoch) for epoch in range(20)] == pytest.approx(rates)


@pytest.mark.parametrize(
    ("name", "total"),
    [("paper", 835_170_945), ("paper-swin", 27_625_903), ("paper-cnn3d", 415_951)],
)
def test_describes_each_network_of_the_paper_by_its_count(name, total):
    assert describe(name)["total"] == total


def test_describes_a_preset_with_what_was_changed():
    changed = with_overrides(find_preset("paper"), network={"head": "deep"}, objective="quartile")
    found = describe_preset(changed)
    assert found["parts"]["head"] == 1_313_793 + 3 * 513
    assert (found["objective"], found["fit"]["loss"]) == ("quartile", "cross_entropy")


def test_what_is_solved_has_no_parameters():
    assert describe("median")["total"] == 0


def test_a_video_is_scored_without_sound_but_not_without_picture():
    assert KINDS["fused"].reads == ("visual", "audio")
    assert KINDS["fused"].needs == ("visual",)


@pytest.mark.parametrize("find", [find_kind, find_preset])
def test_an_unknown_name_is_answered_with_the_known_ones(find):
    with pytest.raises(UnknownKind, match="median"):
        find("fussed")


def test_refuses_the_config_of_another_kind():
    with pytest.raises(BadCheckpoint):
        KINDS["fused"].config_from_json({"height_px": 3})


def test_refuses_features_the_network_cannot_have():
    with pytest.raises(BadSetting, match="heads"):
        find_preset("fused").sized(InputShapes(visual=(64, 5, 5), audio=(7, 512)))
    with pytest.raises(IncompatibleFeatures, match="visual"):
        find_preset("fused").sized(InputShapes(audio=(7, 512)))


def test_only_the_paper_listens_to_speech_alone():
    tensors = {name: preset.tensors["audio"] for name, preset in PRESETS.items()}
    assert tensors.pop("paper") == ("pooled_speech",)
    assert set(tensors.values()) == {("pooled_audio",)}


@pytest.mark.parametrize("name", PRESETS)
def test_which_tensors_are_read_does_not_rename_what_was_trained(name):
    preset = PRESETS[name]
    other = replace(preset, tensors={"audio": ("pooled_video",)})
    assert preset.document() == other.document()
    assert preset.document()["network"] == asdict(preset.network)


def _is_wish(setting: str) -> bool:
    """Whether it is asked for, and stored as what there is of it in the rows."""
    return setting.endswith("_width") or setting.startswith("use_") or setting == "history"


@pytest.mark.parametrize("name", ["ridge", "boosted", "modern"])
def test_what_training_writes_into_a_config_cannot_be_set_by_hand(name, tmp_path):
    rows = planted(120, media=True)
    target = TargetTransform.fit(views_of(rows), "log1p")
    kind, before = find_kind(name), PRESETS[name].network
    assert isinstance(kind, Solved)
    request = SolveRequest(rows, rows[:40], target, 7, tmp_path, lambda *_: None, lambda _: None)
    after = kind.solve(before, request).config
    written = {
        one.name
        for one in fields(before)
        if getattr(before, one.name) != getattr(after, one.name) and not _is_wish(one.name)
    }
    assert written
    for setting in written:
        with pytest.raises(BadSetting, match=f"{setting} of a {name} model"):
            with_overrides(PRESETS[name], network={setting: getattr(after, setting)})
