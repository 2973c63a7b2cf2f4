from dataclasses import asdict

import pytest

from model.batches import InputShapes
from model.errors import BadCheckpoint, BadSetting, IncompatibleFeatures, UnknownKind
from model.fused import FusedConfig
from model.registry import KINDS, PRESETS, describe, find_kind, find_preset
from tests.model.factories import SHAPES


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_is_of_a_kind_that_can_build_it(name):
    preset = find_preset(name)
    kind = find_kind(preset.kind)
    network = kind.build(preset.sized(SHAPES))
    assert (kind.solve is None) == (preset.fit is not None)
    assert network.shapes == (SHAPES if kind.reads else InputShapes())


@pytest.mark.parametrize("name", PRESETS)
def test_the_config_of_every_preset_survives_json(name):
    preset = PRESETS[name]
    assert KINDS[preset.kind].config_from_json(asdict(preset.network)) == preset.network


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


def test_describes_a_preset_at_the_size_of_the_clips():
    shapes = InputShapes(visual=(64, 32, 18), audio=(7, 512))
    assert describe("default", shapes)["network"]["height_px"] == 32
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
        find_preset("default").sized(InputShapes(visual=(64, 5, 5), audio=(7, 512)))
    with pytest.raises(IncompatibleFeatures):
        find_preset("default").sized(InputShapes(visual=(64, 32, 18)))
