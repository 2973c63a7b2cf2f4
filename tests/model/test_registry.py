import json
from dataclasses import asdict, replace

import pytest
import torch

from model.batches import InputShapes
from model.errors import BadCheckpoint, BadSetting, IncompatibleFeatures, UnknownKind
from model.networks.fused import FusedConfig
from model.registry import (
    KINDS,
    PRESETS,
    describe,
    describe_preset,
    find_kind,
    find_preset,
    with_overrides,
)
from tests.model.factories import SHAPES

ALL_SHAPES = InputShapes(SHAPES.visual, SHAPES.audio, clip=(3, 9, 16, 12))


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_is_of_a_kind_that_can_build_it(name):
    preset = find_preset(name)
    kind = find_kind(preset.kind)
    assert (kind.solve is None) == (preset.fit is not None)
    if kind.solve is not None:
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
    with pytest.raises(IncompatibleFeatures):
        find_preset("fused").sized(InputShapes(visual=(64, 32, 18)))
