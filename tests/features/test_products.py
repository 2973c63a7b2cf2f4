from collections.abc import Callable, Iterator

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - the name the whole world knows it by

from features import products
from features.products import ROWS, product


def half_exact(*shape: int) -> Tensor:
    return torch.randn(*shape).half().float()


def without_halves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(products, "_fits_half", lambda _weight: False)


def without_any_layout(monkeypatch: pytest.MonkeyPatch) -> None:
    without_halves(monkeypatch)
    monkeypatch.setattr(products, "_ordered", lambda *_arguments: None)


def as_it_is(_monkeypatch: pytest.MonkeyPatch) -> None:
    """Let it choose what this machine has."""


@pytest.fixture
def threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)




@pytest.mark.parametrize("machine", [as_it_is, without_halves, without_any_layout])
@pytest.mark.parametrize(("n_in", "n_out"), [(512, 512), (2048, 512), (512, 51_865), (64, 192)])
@torch.inference_mode()
def test_a_row_is_bit_for_bit_the_same_in_any_number_of_rows_and_threads(
    machine: Callable[[pytest.MonkeyPatch], None],
    n_in: int,
    n_out: int,
    monkeypatch: pytest.MonkeyPatch,
    threads: None,
) -> None:
    machine(monkeypatch)
    weight, bias, x = half_exact(n_out, n_in), torch.randn(n_out), torch.randn(ROWS, n_in)
    multiply = product(weight, bias)
    torch.set_num_threads(1)
    together = multiply(x)
    wanted = F.linear(x.double(), weight.double(), bias.double()).float()
    torch.testing.assert_close(together, wanted, rtol=1e-5, atol=2e-3)
    for n_threads in (1, 2):
        torch.set_num_threads(n_threads)
        for n_rows in range(1, ROWS + 1):
            assert torch.equal(multiply(x[-n_rows:]), together[-n_rows:])


@torch.inference_mode()
def test_weights_that_need_more_than_16_bits_keep_them() -> None:
    weight, x = torch.randn(300, 64), torch.randn(3, 64)
    error = (product(weight, None)(x) - F.linear(x, weight)).abs().max()
    rounded = (F.linear(x, weight.half().float()) - F.linear(x, weight)).abs().max()
    assert error < 1e-4 < rounded
