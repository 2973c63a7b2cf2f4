"""Settings, seeds and names that nobody can train with are refused in one line."""

from dataclasses import fields
from datetime import UTC, datetime

import pytest

from catalog.facts import Candidate
from model.base import NOT_SET
from model.errors import BadCheckpoint, BadSetting
from model.registry import PRESETS, find_kind, find_preset, with_overrides
from model.split import SplitConfig, label_place
from model.steps.train import TrainRequest
from model.training.fit import FitConfig


@pytest.mark.parametrize("seed", [-1, 2**32, 10**20])
def test_a_seed_that_not_every_generator_takes_is_refused(seed):
    with pytest.raises(BadSetting, match="from 0 to 4294967295"):
        TrainRequest("modern", seed=seed).settled()


@pytest.mark.parametrize("name", ["", "../../x", "a:b", "a@b", "a/b", "x y", "n" * 81])
def test_a_name_that_is_a_path_or_cannot_be_asked_for_is_refused(name):
    with pytest.raises(BadSetting, match="no name of a model"):
        TrainRequest("median", name=name).settled()


@pytest.mark.parametrize(
    ("preset", "setting", "value"),
    [
        ("ridge", "text_width", None),
        ("ridge", "text_width", 1.5),
        ("ridge", "text_width", -1),
        ("ridge", "penalty", "x"),
        ("ridge", "penalty", 0),
        ("ridge", "tag_prior", float("nan")),
        pytest.param("ridge", "tag_prior", 10**400, id="more than a float"),
        ("ridge", "n_tags", 3),
        ("boosted", "max_trees", 1e30),
        ("boosted", "l2", -1),
        ("modern", "seed", 3),
        ("modern", "n_members", 0),
        ("modern", "leaves", 0),
        ("modern", "use_tags", None),
        ("hashtag_mean", "prior", 5.0),
        ("author_recent", "history", "none"),
    ],
)
def test_a_setting_of_another_type_or_range_is_refused(preset, setting, value):
    with pytest.raises(BadSetting):
        with_overrides(find_preset(preset), network={setting: value})


@pytest.mark.parametrize("preset", PRESETS)
def test_every_preset_takes_the_settings_that_it_has(preset):
    held = find_preset(preset)
    network = {
        one.name: getattr(held.network, one.name)
        for one in fields(held.network)
        if NOT_SET not in one.metadata
    }
    fit = vars(held.fit) if held.fit else {}
    for settings in ({"network": network}, {"fit": fit}, {"network": network, "fit": fit}):
        assert with_overrides(held, **settings) == held
    # And really takes them: a size that is another makes another network.
    for name in {name for name, value in network.items() if type(value) is int and value > 1}:
        changed = with_overrides(held, network={name: network[name] * 2})
        assert getattr(changed.network, name) == network[name] * 2


@pytest.mark.parametrize(
    "settings", [{"lr": float("inf")}, {"max_minutes": float("nan")}, {"max_minutes": -1.0}]
)
def test_a_training_that_cannot_be_is_refused(settings):
    with pytest.raises(BadSetting):
        FitConfig(**settings)


def test_a_share_that_is_no_number_is_refused():
    with pytest.raises(ValueError, match="val"):
        SplitConfig(val=float("nan"))


def test_no_count_is_thousands_of_years_old():
    at = datetime(2024, 1, 1, tzinfo=UTC)
    assert label_place(Candidate(1, "1", None, at, at), [at], 999_999 * 604_800.0) is None


def test_a_model_of_another_version_says_what_is_other():
    with pytest.raises(BadCheckpoint, match="has n_tags, has prior, lacks history"):
        find_kind("hashtag_mean").config_from_json({"prior": 5.0, "n_tags": 9})


@pytest.mark.parametrize("name", ["modern", "ridge", "boosted"])
def test_a_model_of_many_other_settings_is_refused_in_one_line(name):
    old = {"use_author": True, "tag_prior": 5.0, "n_folds": 5, "n_tags": 9}
    with pytest.raises(BadCheckpoint, match=r"another version .*has n_folds.* more that differ$"):
        find_kind(name).config_from_json(old)
