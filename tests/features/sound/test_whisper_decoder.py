from collections.abc import Callable, Iterator

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - the name the whole world knows it by
from whisper.model import Whisper

from features.sound import whisper_decoder
from features.sound import whisper_decoder as decoder_module
from features.sound.whisper_decoder import ROWS, Product, RowDecoder, product
from tests.features.sounds import random_whisper


def half_exact(*shape: int) -> Tensor:
    return torch.randn(*shape).half().float()


def without_halves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(whisper_decoder, "_fits_half", lambda _weight: False)


def without_any_layout(monkeypatch: pytest.MonkeyPatch) -> None:
    without_halves(monkeypatch)
    monkeypatch.setattr(whisper_decoder, "_ordered", lambda *_arguments: None)


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


@pytest.fixture(scope="module")
def network() -> Whisper:
    return random_whisper(n_text_ctx=40)


def features(seed: int) -> Tensor:
    return torch.randn(1, 1500, 64, generator=torch.Generator().manual_seed(seed))


def plain_product(weight: Tensor, bias: Tensor | None) -> Product:
    return lambda x: x @ weight.T + (0 if bias is None else bias)


@torch.inference_mode()
def test_a_step_is_stock_whisper_s(network: Whisper) -> None:
    sound, tokens = features(0), [[7, 300, 2, 19]]
    expected = network.decoder(torch.tensor(tokens), sound)[0]
    decoder = RowDecoder(network)
    place = decoder.enter(sound)
    for token, wanted in zip(tokens[0], expected, strict=True):
        torch.testing.assert_close(decoder.step({place: token})[place], wanted, rtol=0, atol=1e-5)


@torch.inference_mode()
def test_other_machines_products_give_the_same(
    network: Whisper, monkeypatch: pytest.MonkeyPatch
) -> None:
    def first_logits() -> Tensor:
        decoder = RowDecoder(network)
        return decoder.step({decoder.enter(features(0)): 7})[0]

    packed = first_logits()
    monkeypatch.setattr(decoder_module, "product", plain_product)
    torch.testing.assert_close(first_logits(), packed, rtol=0, atol=1e-5)


def test_a_row_s_numbers_do_not_depend_on_its_neighbours(network: Whisper, threads: None) -> None:
    tokens = [50_258, 4, 9, 11, 300, 7]

    def alone(n_threads: int) -> list[Tensor]:
        torch.set_num_threads(n_threads)
        decoder = RowDecoder(network)
        place = decoder.enter(features(1))
        return [decoder.step({place: token})[place] for token in tokens]

    expected = alone(1)
    assert all(torch.equal(a, b) for a, b in zip(alone(2), expected, strict=True))
    # In the last place, begun three steps after the others, of which one leaves on the way.
    decoder = RowDecoder(network)
    others = [decoder.enter(features(10 + i)) for i in range(ROWS - 1)]
    for token in (1, 2, 3):
        decoder.step(dict.fromkeys(others, token))
    last = decoder.enter(features(1))
    assert (last, decoder.n_free) == (ROWS - 1, 0)
    for number, token in enumerate(tokens):
        if number == 3:
            decoder.leave(others.pop())
        logits = decoder.step(dict.fromkeys(others, number) | {last: token})
        assert torch.equal(logits[last], expected[number])
    assert decoder.n_free == 1
