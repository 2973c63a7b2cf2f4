"""Matrix products whose weights are laid out once, for the rows that they will be multiplied with.

The layouts are those that torch's own compilers and quantised layers use. Where a processor or a
build of torch has none of them, the plain product stands in: slower, the same numbers.
"""

from collections.abc import Callable
from typing import Final

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - the name the whole world knows it by

#: As many rows as a product of `product` takes.
ROWS: Final = 8

#: (R, K) to (R, N), R at most ROWS; a row's numbers do not depend on how many there are.
Product = Callable[[Tensor], Tensor]


def product(weight: Tensor, bias: Tensor | None) -> Product:
    """Make the linear layer for up to ROWS rows. weight: (N, K), bias: (N,), both float32.

    Whisper's weights were published in 16 bits. Kept so, and widened within the processor, they
    are the very same numbers at half the way from memory, which is what such a product costs.
    """
    if weight.device.type == "cpu":
        if torch.backends.quantized.engine in ("x86", "fbgemm") and _fits_half(weight):
            packed = torch.ops.quantized.linear_prepack_fp16(weight.detach().contiguous(), bias)
            # It sums a row from its first to its last number, whatever other rows there are.
            return lambda x: torch.ops.quantized.linear_dynamic_fp16(x, packed)
        ordered = _ordered(weight, bias)
        if ordered is not None:
            return _padded(ordered)
    return _padded(lambda x: F.linear(x, weight, bias))


def _ordered(weight: Tensor, bias: Tensor | None) -> Product | None:
    reorder = getattr(torch.ops.mkldnn, "_reorder_linear_weight", None)
    multiply = getattr(torch.ops.mkldnn, "_linear_pointwise", None)
    if reorder is None or multiply is None:
        return None
    ordered = reorder(weight.detach().contiguous(), ROWS)
    return lambda x: multiply(x, ordered, bias, "none", [], "")


def _padded(multiply: Product) -> Product:
    # These choose their way, and with it the last bits, by the number of rows: it stays the same.
    return lambda x: multiply(F.pad(x, (0, 0, 0, ROWS - len(x))))[: len(x)]


def _fits_half(weight: Tensor) -> bool:
    return torch.equal(weight.half().to(weight.dtype), weight)
