"""The pointwise half of a step: the textbook's numbers, and their exact derivative."""

import pytest
import torch
from torch import Tensor

from features import gates


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
    for left, right in zip(gates.step(raw.clone(), state), textbook(raw, state), strict=True):
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
    ours = gradients(gates.step(raw * 1, state))
    for left, right in zip(ours, gradients(textbook(raw, state)), strict=True):
        torch.testing.assert_close(left, right)


def test_it_needs_no_memory_but_its_results_where_nothing_is_learned():
    raw, cell = inputs()
    with torch.inference_mode():
        before = raw.data_ptr()
        gates.step(raw, cell)
    assert raw.data_ptr() == before
    assert bool((raw[:, :9] > 0).all())  # overwritten by the activations, as announced
