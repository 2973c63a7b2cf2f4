"""What the processor that torch computes on is made for."""

from typing import Final

import torch

#: What torch calls a unit for bfloat16: matrices and vectors of x86, and ARM's.
BF16_UNITS: Final = frozenset({"amx_bf16", "avx512_bf16", "bf16"})


def bf16_units() -> frozenset[str]:
    """Names of this processor's units for bfloat16; none where it would only emulate it.

    Torch 2.11 does not tell yet: there it is none too.
    """
    ask = getattr(torch.cpu, "get_capabilities", None)
    found = {} if ask is None else ask()
    return frozenset(name for name in BF16_UNITS if found.get(name, False))
