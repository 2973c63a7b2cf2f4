"""The device that a network computes on, and what this machine's processor is made for."""

import re
from contextlib import AbstractContextManager, nullcontext
from typing import Final

import torch

from features.errors import DeviceMissing

#: What torch calls a unit for bfloat16: matrices and vectors of x86, and ARM's.
BF16_UNITS: Final = frozenset({"amx_bf16", "avx512_bf16", "bf16"})


def resolve(device: str) -> str:
    """Return "cpu", "cuda" or "cuda:N"; "auto" and "" are the GPU where torch finds one.

    Raises DeviceMissing.
    """
    n_gpus = max(1, torch.cuda.device_count()) if torch.cuda.is_available() else 0
    if device in ("", "auto"):
        return "cuda" if n_gpus else "cpu"
    if device == "cpu":
        return device
    named = re.fullmatch(r"cuda(?::([0-9]+))?", device)
    if named is None:
        raise DeviceMissing(f"device {device!r} is none of auto, cpu, cuda and cuda:NUMBER")
    if not n_gpus:
        raise DeviceMissing(f"device {device}: torch finds no GPU; set device to auto or cpu")
    if int(named[1] or 0) >= n_gpus:
        raise DeviceMissing(f"device {device}: torch finds {n_gpus}, the last is cuda:{n_gpus - 1}")
    return device


def full_precision(device: torch.device | str) -> AbstractContextManager[object]:
    """Context in which a GPU's convolutions give the numbers of a machine without one.

    TF32, which cuDNN takes by itself, would move them by 1e-3.
    """
    if torch.device(device).type != "cuda":
        return nullcontext()
    return torch.backends.cudnn.flags(enabled=True, allow_tf32=False)


def bf16_units() -> frozenset[str]:
    """Names of this processor's units for bfloat16; none where it would only emulate it.

    Torch 2.11 does not tell yet: there it is none too.
    """
    ask = getattr(torch.cpu, "get_capabilities", None)
    found = {} if ask is None else ask()
    return frozenset(name for name in BF16_UNITS if found.get(name, False))
