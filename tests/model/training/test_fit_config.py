import math
from dataclasses import replace

import pytest

from model.errors import BadSetting
from model.training.fit_config import FitConfig


def test_the_learning_rate_rises_and_falls():
    config = FitConfig(epochs=10, lr=1.0, warmup_epochs=2)
    assert config.lr_at(0) == 0
    assert config.lr_at(1) == pytest.approx(0.5 * 0.5 * (1 + math.cos(math.pi / 10)))
    assert config.lr_at(10) == pytest.approx(0)
    assert replace(config, decay="none").lr_at(7) == 1.0


def test_the_learning_rate_can_rise_from_a_part_of_itself():
    config = FitConfig(lr=3.0, warmup_epochs=10, warmup_from=1 / 3, decay="none")
    assert [config.lr_at(epoch) for epoch in (0, 5, 10, 20)] == pytest.approx([1, 2, 3, 3])


@pytest.mark.parametrize(
    "settings",
    [
        {"epochs": 0},
        {"batch": 0},
        {"lr": 0.0},
        {"weight_decay": -1.0},
        {"loss": "hinge"},
        {"optimiser": "sgd"},
        {"decay": "step"},
        {"tau": 1.0},
        {"patience": 0},
        {"clip_norm": 0.0},
        {"warmup_from": 2.0},
        {"warmup_epochs": -1.0},
        {"keep": "first"},
        {"lr_every": "day"},
        {"precision": "fp8"},
        {"device": "tpu"},
    ],
)
def test_refuses_settings_that_cannot_train(settings):
    with pytest.raises(BadSetting, match=next(iter(settings))):
        FitConfig(**settings)
