import pytest
import torch

from features.device import bf16_units


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ({"avx512_bf16": True, "amx_bf16": False, "avx2": True}, {"avx512_bf16"}),
        ({"amx_bf16": True, "avx512_bf16": True}, {"amx_bf16", "avx512_bf16"}),
        ({"bf16": True, "neon": True}, {"bf16"}),
        ({"avx2": True, "avx512_f": True}, set()),
        ({}, set()),
    ],
)
def test_a_processor_says_what_it_computes_bfloat16_with(monkeypatch, told, expected):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: told, raising=False)
    assert bf16_units() == expected


def test_a_torch_that_does_not_tell_has_none(monkeypatch):
    monkeypatch.delattr(torch.cpu, "get_capabilities", raising=False)
    assert bf16_units() == set()
