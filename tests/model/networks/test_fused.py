from dataclasses import replace

import pytest
import torch

from model.batches import Example, batches, collate
from model.errors import BadSetting
from model.networks.fused import FusedConfig, FusedRegressor, describe_fused, sinusoids
from tests.model.factories import SHAPES, TINY, TINY_PAPER, batch_of, examples, network


def test_has_the_parameters_that_were_published():
    assert describe_fused(FusedConfig()) == {
        "total": 835_170_945,
        "parts": {
            "visual": 831_818_048,
            "audio": 3_089_728,
            "head": 263_169,
            "missing_tokens": 0,
        },
        "unused_deep_head": 1_313_793,
        "published": 836_484_738,
    }


@pytest.mark.parametrize(("height_px", "width_px", "token"), [(32, 18, 576), (16, 9, 144)])
def test_works_at_other_clip_sizes(height_px, width_px, token):
    config = FusedConfig(height_px=height_px, width_px=width_px)
    assert config.visual_width == token
    built = FusedRegressor(config).eval()
    rows = [Example(1, torch.randn(64, height_px, width_px), torch.randn(7, 512))]
    batch = next(batches(rows, built.shapes, 1))
    assert built(batch).shape == (1,)
    counted = sum(parameter.numel() for parameter in built.parameters())
    assert describe_fused(config)["total"] == counted


def test_the_deep_head_is_the_one_that_was_counted():
    found = describe_fused(FusedConfig(head="deep"))
    assert found["parts"]["head"] == 1_313_793
    assert (found["unused_deep_head"], found["published"]) == (0, found["total"])


@pytest.mark.parametrize(("alone", "branch"), [("visual", 831_818_048), ("audio", 3_089_728)])
def test_an_ablation_has_one_branch_and_half_a_head(alone, branch):
    found = describe_fused(FusedConfig(modalities=alone))
    head = 256 * 256 + 256 + 256 + 1
    assert found["parts"] == {alone: branch, "head": head, "missing_tokens": 0}
    assert found["total"] == branch + head


def test_an_ablation_is_blind_to_the_other_modality():
    looking = network(replace(TINY, modalities="visual"))
    assert looking.shapes.audio is None
    row = examples()[0]
    with torch.inference_mode():
        heard = looking(collate([row], looking.shapes))
        unheard = looking(collate([replace(row, audio=None)], looking.shapes))
    assert torch.equal(heard, unheard)


def test_missing_tokens_are_counted_apart():
    found = describe_fused(replace(FusedConfig(), missing="token"))
    assert found["total"] == 835_170_945 + 2 * 256
    assert found["parts"]["missing_tokens"] == 2 * 256


def test_standardising_adds_no_parameter():
    config = replace(TINY_PAPER, standardise=True)
    assert describe_fused(config)["total"] == describe_fused(TINY_PAPER)["total"]


@pytest.mark.parametrize("config", [TINY, TINY_PAPER])
def test_a_score_does_not_depend_on_its_batch(config):
    fused, rows = network(config), examples()
    with torch.inference_mode():
        together = fused(batch_of(rows))
        alone = torch.cat([fused(batch_of([row])) for row in rows])
    torch.testing.assert_close(together, alone)


def test_what_is_absent_says_nothing_about_the_batch_beside_it():
    fused = network()
    mute = [row for row in examples() if row.audio is None][:1]
    with torch.inference_mode():
        beside_speech = fused(batch_of(mute + examples()))[:1]
        alone = fused(batch_of(mute))
    torch.testing.assert_close(beside_speech, alone)


def test_a_learned_token_stands_in_for_what_is_missing():
    fused = network()
    mute = Example(1, visual=torch.ones(8, 4, 4))
    silent = Example(2, visual=torch.ones(8, 4, 4), audio=torch.zeros(3, 8))
    fused.missing["audio"].data.fill_(3.0)
    fused.train(mode=False)
    with torch.inference_mode():
        absent, zero = fused(batch_of([mute, silent])).tolist()
    assert absent != pytest.approx(zero)  # no sound track is not silence


def test_the_paper_takes_what_is_missing_for_zeros():
    fused = network(TINY_PAPER)
    rows = [
        Example(1, visual=torch.ones(8, 4, 4)),
        Example(2, visual=torch.ones(8, 4, 4), audio=torch.zeros(3, 8)),
    ]
    with torch.inference_mode():
        absent, zero = fused(batch_of(rows)).tolist()
    assert absent == pytest.approx(zero)


def test_every_parameter_learns():
    fused = network().train()
    fused(batch_of(examples())).sum().backward()
    still = [name for name, parameter in fused.named_parameters() if parameter.grad is None]
    assert still == []


def test_modalities_are_hidden_in_training_only():
    fused = network(replace(TINY, modality_drop=0.9, dropout=0.0))
    batch = batch_of(examples())
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(0)
        torch.testing.assert_close(fused(batch), fused(batch))
        fused.train()
        assert not torch.equal(fused(batch), fused(batch))


def test_scales_come_from_rows_that_have_the_feature():
    fused, rows = network(), examples()
    fused.prepare(batches(rows, SHAPES, 3))
    heard = torch.stack([row.audio for row in rows if row.audio is not None])
    torch.testing.assert_close(fused.scalers["audio"].mean, heard.mean(0))


def test_positions_are_sines_and_cosines_of_falling_rates():
    table = sinusoids(5, 4)
    assert table.shape == (5, 4)
    assert table[0].tolist() == [0.0, 1.0, 0.0, 1.0]
    torch.testing.assert_close(table[3, 0], torch.tensor(3.0).sin())
    torch.testing.assert_close(table[3, 3], torch.tensor(0.03).cos())


@pytest.mark.parametrize(
    "settings",
    [
        {"height_px": 5, "width_px": 5},
        {"audio_width": 510},
        {"channels": 0},
        {"dropout": 1.0},
        {"missing": "ignore"},
        {"modalities": "smell"},
        {"head": "wide"},
        {"outputs": 3},
    ],
)
def test_refuses_sizes_it_cannot_have(settings):
    with pytest.raises(BadSetting):
        FusedConfig(**settings)
