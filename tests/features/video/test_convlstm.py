"""The autoencoder: the published network number by number, and no row that knows its batch."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from features.video import convlstm
from features.video.convlstm import (
    DEPTHS,
    ConvLstmAutoencoder,
    ConvLstmCell,
    ConvLstmConfig,
    normalise,
    pad_to_depth,
    pad_to_longest,
    pool_to_depth,
    reconstruction_loss,
)
from features.video.visual import load_foreign_autoencoder


def textbook(raw: Tensor, cell: Tensor | None) -> tuple[Tensor, Tensor]:
    enter, forget, output, content = raw.chunk(4, dim=1)
    after = torch.sigmoid(enter) * torch.tanh(content)
    if cell is not None:
        after = after + torch.sigmoid(forget) * cell
    return after, torch.sigmoid(output) * torch.tanh(after)


def inputs(dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor]:
    return 3 * torch.randn(2, 12, 3, 2, dtype=dtype), torch.randn(2, 3, 3, 2, dtype=dtype)


@pytest.mark.parametrize("has_cell", [True, False])
def test_a_step_is_the_textbooks(has_cell):
    raw, cell = inputs()
    state = cell if has_cell else None
    for left, right in zip(convlstm.step(raw.clone(), state), textbook(raw, state), strict=True):
        torch.testing.assert_close(left, right)


@pytest.mark.parametrize("used", [(True, True), (True, False), (False, True)])
@pytest.mark.parametrize("has_cell", [True, False])
@pytest.mark.parametrize("memory", [torch.contiguous_format, torch.channels_last])
def test_its_gradients_are_autograds(has_cell, used, memory):
    raw, cell = (value.contiguous(memory_format=memory) for value in inputs())
    leaves = [raw.requires_grad_(), *([cell.requires_grad_()] if has_cell else [])]
    state = cell if has_cell else None

    def gradients(results: tuple[Tensor, Tensor]) -> tuple[Tensor, ...]:
        loss = sum(
            result.square().sum() for result, is_used in zip(results, used, strict=True) if is_used
        )
        return torch.autograd.grad(loss, leaves)

    # Times one, because a leaf may not be overwritten.
    ours = gradients(convlstm.step(raw * 1, state))
    for left, right in zip(ours, gradients(textbook(raw, state)), strict=True):
        torch.testing.assert_close(left, right)


def test_it_needs_no_memory_but_its_results_where_nothing_is_learned():
    raw, cell = inputs()
    with torch.inference_mode():
        before = raw.data_ptr()
        convlstm.step(raw, cell)
    assert raw.data_ptr() == before
    assert bool((raw[:, :9] > 0).all())  # overwritten by the activations, as announced


def clips_of(*depths: int) -> list[np.ndarray]:
    random = np.random.default_rng(0)
    return [random.integers(0, 256, (3, depth, 4, 2), dtype=np.uint8) for depth in depths]


def test_min_max_scaling_maps_the_levels_to_zero_and_one():
    scaled = normalise(torch.tensor([0, 51, 255], dtype=torch.uint8))
    torch.testing.assert_close(scaled, torch.tensor([0.0, 0.2, 1.0]))


def test_a_dark_clip_stays_dark():
    assert normalise(torch.full((3, 1, 2, 2), 10, dtype=torch.uint8)).max() < 0.04


def test_the_longest_sets_the_depth_and_lengths_tell_padding_from_black():
    clips = clips_of(2, 5, 1)
    padded, lengths = pad_to_longest(clips)
    assert padded.shape == (3, 3, 5, 4, 2)
    assert padded.dtype == torch.uint8
    assert lengths.tolist() == [2, 5, 1]
    for row, clip in enumerate(clips):
        np.testing.assert_array_equal(padded[row, :, : clip.shape[1]].numpy(), clip)
        assert not padded[row, :, clip.shape[1] :].any()


def test_a_fixed_depth_pads_the_short_and_cuts_the_long():
    clips = clips_of(2, 7)
    padded, lengths = pad_to_depth(clips, 4)
    assert padded.shape == (2, 3, 4, 4, 2)
    assert lengths.tolist() == [2, 4]
    np.testing.assert_array_equal(padded[1].numpy(), clips[1][:, :4])


def test_pooling_averages_equal_stretches_of_a_clips_own_depth():
    (clip,) = clips_of(6)
    pooled, lengths = pool_to_depth([clip], 3)
    assert lengths.tolist() == [3]
    expected = clip.reshape(3, 3, 2, 4, 2).astype(np.float32).mean(axis=2)
    np.testing.assert_allclose(pooled[0].numpy(), expected, rtol=1e-6)


def test_pooled_to_one_a_clip_is_its_mean_picture():
    clips = clips_of(1, 9)
    pooled, _ = pool_to_depth(clips, 1)
    for row, clip in enumerate(clips):
        np.testing.assert_allclose(pooled[row, :, 0].numpy(), clip.mean(axis=1), rtol=1e-6)


def test_pooling_a_short_clip_repeats_its_frames_and_invents_none():
    (clip,) = clips_of(2)
    pooled, _ = pool_to_depth([clip], 4)
    np.testing.assert_array_equal(pooled[0].numpy(), clip[:, [0, 0, 1, 1]].astype(np.float32))


@pytest.mark.parametrize("way", DEPTHS)
@given(depths=st.lists(st.integers(1, 9), min_size=1, max_size=5), depth=st.integers(1, 6))
def test_a_row_is_the_same_alone_and_in_any_batch_in_any_order(way, depths, depth):
    clips = clips_of(*depths)
    together, lengths = DEPTHS[way](clips, depth)
    backwards, lengths_backwards = DEPTHS[way](clips[::-1], depth)
    assert torch.equal(together, backwards.flip(0))
    assert torch.equal(lengths, lengths_backwards.flip(0))
    for row, clip in enumerate(clips):
        alone, length = DEPTHS[way]([clip], depth)
        assert length[0] == lengths[row]
        assert torch.equal(alone[0, :, : length[0]], together[row, :, : length[0]])
        assert not together[row, :, length[0] :].any()


@pytest.mark.parametrize("way", DEPTHS)
def test_what_cannot_be_one_batch_is_refused(way):
    with pytest.raises(ValueError, match="at least one clip"):
        DEPTHS[way]([], 3)
    with pytest.raises(ValueError, match="cannot be one batch"):
        DEPTHS[way]([*clips_of(1), np.zeros((3, 1, 5, 2), np.uint8)], 3)
    with pytest.raises(ValueError, match="without frames"):
        DEPTHS[way]([np.zeros((3, 0, 4, 2), np.uint8)], 3)


@pytest.mark.parametrize("way", ["fixed", "pooled"])
def test_a_depth_below_one_is_refused(way):
    with pytest.raises(ValueError, match="depth is 0"):
        DEPTHS[way](clips_of(2), 0)


#: Another batch may take another route through the convolutions: a few units in the last place.
BOUND = 1e-6


@pytest.fixture
def network() -> ConvLstmAutoencoder:
    return ConvLstmAutoencoder(ConvLstmConfig(hidden=8)).eval()


def clips(n: int, n_frames: int) -> Tensor:
    return torch.randint(0, 256, (n, 3, n_frames, 8, 6)).float()


def original(folder: Path) -> ConvLstmAutoencoder:
    """The research code's trained weights in our network."""
    return load_foreign_autoencoder(folder / "convlstm_hidden64.pt").eval()


def plain_loop(network: ConvLstmAutoencoder, clip: Tensor) -> Tensor:
    """The reconstruction as the formulas say it: every state written out, all of it in fp32."""

    def cell(part: ConvLstmCell, value: Tensor, a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
        enter, forget, output, content = part.conv(torch.cat([value, a], 1)).chunk(4, 1)
        after = torch.sigmoid(forget) * b + torch.sigmoid(enter) * torch.tanh(content)
        return after, torch.sigmoid(output) * torch.tanh(after)

    zeros = clip.new_zeros(len(clip), network.config.hidden, *clip.shape[-2:])
    a = b = c = d = zeros
    for t in range(clip.shape[2]):
        a, b = cell(network.encoder_1, clip[:, :, t], a, b)
        c, d = cell(network.encoder_2, a, c, d)
    value, outputs = c, []
    a = b = c = d = zeros
    for _ in range(clip.shape[2]):
        a, b = cell(network.decoder_1, value, a, b)
        c, d = cell(network.decoder_2, a, c, d)
        value = c
        outputs.append(value)
    return 255 * torch.sigmoid(network.painter(torch.stack(outputs, dim=2)))


def gradients_of(network: ConvLstmAutoencoder, loss: Tensor) -> list[Tensor]:
    return list(torch.autograd.grad(loss, list(network.parameters())))


def apart(left: list[Tensor], right: list[Tensor]) -> float:
    """Length of the difference of two gradients, relative to the second's length."""
    ours, theirs = (torch.cat([g.flatten() for g in side]) for side in (left, right))
    return float((ours - theirs).norm() / theirs.norm())


@pytest.mark.reference
def test_a_small_clip_gives_the_originals_embedding_and_picture(reference_folder):
    with np.load(reference_folder / "ae_tiny_16x9.npz") as file:
        expected = {name: torch.from_numpy(file[name]) for name in file.files}
    with torch.inference_mode():
        embedding, output = original(reference_folder)(expected["input"])
    torch.testing.assert_close(embedding, expected["embedding"], atol=1e-4, rtol=0)
    torch.testing.assert_close(output, expected["output"], atol=1e-4, rtol=0)


@pytest.mark.reference
def test_a_full_size_clip_gives_the_originals_figures(reference_folder):
    generator = torch.Generator().manual_seed(1234)
    clip = torch.rand((2, 3, 4, 128, 72), generator=generator) * 255
    with torch.inference_mode():
        embedding, output = original(reference_folder)(clip)
    assert embedding.mean().item() == pytest.approx(-0.00255182, abs=1e-6)
    assert embedding.std().item() == pytest.approx(1.11447516, abs=1e-5)
    # In float64: a float32 sum over a million squares is 1e-5 off by itself.
    assert embedding.double().norm().item() == pytest.approx(1210.45199, rel=1e-5)
    assert output.mean().item() == pytest.approx(102.152907, abs=1e-4)
    assert reconstruction_loss(output, clip).item() == pytest.approx(7709.009, abs=1e-2)


def test_it_has_the_published_number_of_parameters():
    with torch.device("meta"):
        network = ConvLstmAutoencoder(ConvLstmConfig())
    assert sum(p.numel() for p in network.parameters()) == 1_041_859
    assert all(p.requires_grad for p in network.parameters())


def test_gates_stand_in_the_order_input_forget_output_content():
    cell = ConvLstmCell(channels=1, hidden=1)
    torch.nn.init.zeros_(cell.conv.weight)
    gates = torch.tensor([0.3, -0.7, 1.1, 0.5])
    cell.conv.bias.data.copy_(gates)
    state = torch.full((1, 1, 1, 1), 0.8)
    hidden, after = cell(state, state, state)
    enter, forget, output = torch.sigmoid(gates[:3])
    expected = forget * 0.8 + enter * torch.tanh(gates[3])
    torch.testing.assert_close(after.squeeze(), expected)
    torch.testing.assert_close(hidden.squeeze(), output * torch.tanh(expected))


def test_the_embedding_is_a_cell_state_because_the_two_states_are_swapped(network):
    # Written out: what a cell returns first is kept as the cell state, and the other way round.
    clip = clips(2, 3)
    zeros = torch.zeros(2, 8, 8, 6)
    a = b = c = d = zeros
    with torch.inference_mode():
        for t in range(3):
            returned, cell = network.encoder_1(clip[:, :, t], a, b)
            a, b = cell, returned
            returned, cell = network.encoder_2(a, c, d)
            c, d = cell, returned
        torch.testing.assert_close(network.encode(clip), c, atol=BOUND, rtol=0)
        assert not torch.allclose(c, d)


def test_shapes_and_scales(network):
    embedding, output = network(clips(2, 5))
    assert embedding.shape == (2, 8, 8, 6)
    assert output.shape == (2, 3, 5, 8, 6)
    assert 1 < output.max() <= 255
    normalised = ConvLstmAutoencoder(ConvLstmConfig(hidden=4, normalised=True))
    assert normalised(clips(1, 2) / 255)[1].max() <= 1


def test_what_stands_behind_the_last_frame_changes_nothing(network):
    clip = clips(3, 6)
    lengths = torch.tensor([2, 6, 4])
    padded = clip.clone()
    for row, length in enumerate(lengths):
        padded[row, :, length:] = 255 * torch.rand_like(padded[row, :, length:])
    zeroed = clip.clone()
    for row, length in enumerate(lengths):
        zeroed[row, :, length:] = 0
    with torch.inference_mode():
        together = network.encode(padded, lengths)
        assert torch.equal(together, network.encode(zeroed, lengths))
        for row, length in enumerate(lengths):
            alone = network.encode(clip[row : row + 1, :, :length])
            torch.testing.assert_close(together[row : row + 1], alone, atol=BOUND, rtol=0)
        # Without lengths the padding does count: the switch is not decoration.
        assert not torch.allclose(together, network.encode(padded), atol=1e-3)


def test_full_lengths_are_the_same_as_none(network):
    clip = clips(2, 3)
    with torch.inference_mode():
        assert torch.equal(network.encode(clip, torch.tensor([3, 3])), network.encode(clip))


def test_a_batch_gives_what_its_rows_give_alone(network):
    clip = clips(5, 4)
    with torch.inference_mode():
        embeddings, outputs = network(clip)
        for row in range(5):
            embedding, output = network(clip[row : row + 1])
            torch.testing.assert_close(embeddings[row : row + 1], embedding, atol=BOUND, rtol=0)
            torch.testing.assert_close(outputs[row : row + 1], output, atol=255 * BOUND, rtol=0)


def test_the_loss_sees_real_frames_only_and_each_alike():
    clip = torch.zeros(2, 3, 4, 2, 2)
    painted = torch.ones_like(clip)
    painted[0, :, 1:] = torch.inf  # padding of the first row, whatever stands there
    painted[1, :, 3] = 3
    lengths = torch.tensor([1, 4])
    loss = reconstruction_loss(painted, clip, lengths).item()
    assert loss == pytest.approx((1 + 1 + 1 + 1 + 9) / 5)
    full = torch.tensor([4, 4])
    other = torch.rand_like(clip)
    assert reconstruction_loss(other, clip, full).item() == pytest.approx(
        reconstruction_loss(other, clip).item()
    )


def test_padding_teaches_nothing(network):
    clip, lengths = clips(2, 4), torch.tensor([2, 4])

    def gradients(value: Tensor) -> list[Tensor]:
        network.zero_grad()
        reconstruction_loss(network(value, lengths)[1], value, lengths).backward()
        return [p.grad.clone() for p in network.parameters() if p.grad is not None]

    before = gradients(clip)
    clip[0, :, 2:] = 255 * torch.rand_like(clip[0, :, 2:])
    after = gradients(clip)
    assert len(before) == len(list(network.parameters()))
    for left, right in zip(before, after, strict=True):
        torch.testing.assert_close(left, right)


def test_it_learns_a_tiny_clip_by_heart():
    network = ConvLstmAutoencoder(ConvLstmConfig(hidden=8))
    clip = torch.zeros(1, 3, 2, 4, 4)
    clip[0, 0, 0, :2] = 255
    clip[0, 1, 1, :, 2:] = 255
    optimiser = torch.optim.Adam(network.parameters(), lr=5e-2)
    losses = []
    for _ in range(80):
        optimiser.zero_grad()
        loss = reconstruction_loss(network(clip)[1], clip)
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.02 * losses[0]


def test_gradients_are_those_of_the_plain_loop(network):
    clip = clips(3, 5)
    wanted = gradients_of(network, torch.nn.functional.mse_loss(plain_loop(network, clip), clip))
    found = gradients_of(network, reconstruction_loss(network(clip)[1], clip))
    for left, right in zip(found, wanted, strict=True):
        assert float((left - right).abs().max() / right.abs().max()) < 1e-4
    assert apart(found, wanted) < 1e-5


def test_gradients_in_bfloat16_are_within_one_percent():
    network = ConvLstmAutoencoder(ConvLstmConfig(hidden=32))
    clip = 255 * torch.rand(2, 3, 5, 32, 18)
    wanted = gradients_of(network, reconstruction_loss(network(clip)[1], clip))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        embedding, reconstruction = network(clip)
    assert embedding.dtype == reconstruction.dtype == torch.float32
    found = gradients_of(network, reconstruction_loss(reconstruction, clip))
    assert all(g.dtype == torch.float32 for g in found)
    assert 1e-5 < apart(found, wanted) < 1e-2


def test_each_row_ends_at_its_own_length_in_any_order(network):
    clip, lengths = clips(4, 6), torch.tensor([3, 6, 1, 3])
    with torch.inference_mode():
        embeddings, outputs = network(clip, lengths)
        for order in ([3, 2, 1, 0], [2, 0, 3, 1], [1, 0, 3, 2]):
            embedding, output = network(clip[order], lengths[order])
            torch.testing.assert_close(embedding, embeddings[order], atol=1e-5, rtol=0)
            torch.testing.assert_close(output, outputs[order], atol=255e-5, rtol=0)
        for row, length in enumerate(lengths.tolist()):
            alone = network(clip[row : row + 1, :, :length])[1]
            torch.testing.assert_close(
                outputs[row : row + 1, :, :length], alone, atol=255e-5, rtol=0
            )
            assert outputs[row, :, length:].eq(0).all()


def test_a_mixed_batch_teaches_what_its_rows_teach(network):
    clip, lengths = clips(3, 4), torch.tensor([2, 4, 1])
    together = gradients_of(network, reconstruction_loss(network(clip, lengths)[1], clip, lengths))
    total = [torch.zeros_like(g) for g in together]
    for row, length in enumerate(lengths.tolist()):
        alone = clip[row : row + 1, :, :length]
        loss = reconstruction_loss(network(alone)[1], alone) * (length / 7)
        for sum_, gradient in zip(total, gradients_of(network, loss), strict=True):
            sum_ += gradient
    assert apart(together, total) < 1e-5


@pytest.mark.parametrize("lengths", [[0, 2], [1, 4], [2]])
def test_lengths_that_a_clip_cannot_have_are_refused(network, lengths):
    with pytest.raises(ValueError, match=r"lengths must be 2 numbers of 1\.\.3"):
        network.encode(clips(2, 3), torch.tensor(lengths))


@pytest.mark.parametrize("sizes", [{"hidden": 0}, {"channels": 0}])
def test_sizes_that_are_none_are_refused(sizes):
    with pytest.raises(ValueError, match="must be 1 or more"):
        ConvLstmConfig(**sizes)
