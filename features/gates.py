"""The pointwise half of a ConvLSTM step, with its derivative written out.

Left to autograd, one step keeps a dozen tensors of the picture's size and makes as many again on
the way back. Here the activations take the place of the convolution's result, and four tensors are
kept.
"""

from typing import Any

import torch
from torch import Tensor

aten = torch.ops.aten


def step(gates: Tensor, cell: Tensor | None) -> tuple[Tensor, Tensor]:
    """Next cell and hidden state. Overwrites `gates`, which nobody may read any more.

    gates: (B, 4 C, H, W) before their activations, in the order input, forget, output, content
    cell: (B, C, H, W), None for zeros    returns: both (B, C, H, W)
    """
    cell, hidden = _Gates.apply(gates, cell)
    return cell, hidden


class _Gates(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, gates: Tensor, cell: Tensor | None) -> tuple[Tensor, Tensor]:
        width = gates.shape[1] // 4
        gates[:, : 3 * width].sigmoid_()
        gates[:, 3 * width :].tanh_()
        enter, forget, output, content = gates.chunk(4, dim=1)
        entered = enter * content
        after = entered if cell is None else torch.addcmul(entered, forget, cell)
        squashed = after.tanh()
        ctx.save_for_backward(gates, cell, squashed)
        ctx.set_materialize_grads(False)
        return after, output * squashed

    @staticmethod
    def backward(ctx: Any, *upstream: Tensor | None) -> tuple[Tensor, Tensor | None]:
        d_cell, d_hidden = upstream
        gates, cell, squashed = ctx.saved_tensors
        enter, forget, output, content = gates.chunk(4, dim=1)
        d_gates = torch.empty_like(gates)
        d_enter, d_forget, d_output, d_content = d_gates.chunk(4, dim=1)
        if d_hidden is None:
            d_output.zero_()
        else:
            through = aten.tanh_backward(d_hidden * output, squashed)
            d_cell = through if d_cell is None else through.add_(d_cell)
            _sigmoid_backward(d_hidden * squashed, output, d_output)
        assert d_cell is not None  # autograd calls only for an output that was used
        _sigmoid_backward(d_cell * content, enter, d_enter)
        aten.tanh_backward.grad_input(d_cell * enter, content, grad_input=d_content)
        if cell is None:
            d_forget.zero_()
            return d_gates, None
        _sigmoid_backward(d_cell * cell, forget, d_forget)
        return d_gates, d_cell * forget


def _sigmoid_backward(upstream: Tensor, result: Tensor, into: Tensor) -> None:
    aten.sigmoid_backward.grad_input(upstream, result, grad_input=into)
