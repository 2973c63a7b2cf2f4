from collections.abc import Iterator

import pytest
import torch
from torch import Tensor
from whisper.model import Whisper

from features import decoder as decoder_module
from features.decoder import ROWS, RowDecoder
from features.products import Product
from tests.features.sounds import random_whisper


@pytest.fixture(scope="module")
def network() -> Whisper:
    return random_whisper(n_text_ctx=40)


def features(seed: int) -> Tensor:
    return torch.randn(1, 1500, 64, generator=torch.Generator().manual_seed(seed))


def plain_product(weight: Tensor, bias: Tensor | None) -> Product:
    return lambda x: x @ weight.T + (0 if bias is None else bias)


@pytest.fixture
def threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


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
