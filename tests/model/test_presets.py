import pytest

from model.batches import InputShapes
from model.errors import BadSetting, IncompatibleFeatures
from model.presets import with_overrides
from model.registry import PRESETS, find_preset

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
    with pytest.raises(IncompatibleFeatures, match="audio"):
        find_preset("fused").sized(shapes)
