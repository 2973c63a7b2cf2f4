import logging
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - the name the whole world knows it by
from whisper.model import Whisper

from features.settings import AudioConfig
from features.sound import whisper_decoder
from features.sound.audio import AudioExtractor
from features.sound.waveform import read_waveform
from features.sound.whisper_decoder import LAYOUTS, ROWS, TOLERANCE, Product, RowDecoder, lay_out
from features.sound.whisper_weights import load_whisper
from tests.features.sounds import SPEECH, random_whisper

#: Outputs and inputs of what Whisper's base decoder multiplies with, and an odd one.
SHAPES = [(1536, 512), (512, 512), (2048, 512), (512, 2048), (51_865, 512), (51, 80)]


@pytest.fixture(scope="module")
def network() -> Whisper:
    return random_whisper(n_text_ctx=40)


@pytest.fixture
def threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.fixture
def only(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Leave a machine these layouts, in this order, none of them tried yet."""

    def leave(**layouts: Callable[[Tensor, Tensor | None], Product | None]) -> None:
        monkeypatch.setattr(whisper_decoder, "LAYOUTS", layouts)
        monkeypatch.setattr(whisper_decoder, "_tried", {})

    return leave


def features(seed: int) -> Tensor:
    return torch.randn(1, 1500, 64, generator=torch.Generator().manual_seed(seed))


def half_exact(*shape: int) -> Tensor:
    return torch.randn(*shape).half().float()


def plain(weight: Tensor, bias: Tensor | None) -> Product:
    """Multiply in float64: what is left of an order of adding up is gone when rounded."""

    def multiply(x: Tensor) -> Tensor:
        wide = F.linear(x.double(), weight.double(), None if bias is None else bias.double())
        return wide.float()

    return multiply


def by_number(weight: Tensor, bias: Tensor | None) -> Product:
    """Depend on how many rows there are: other kernels for other numbers."""
    multiply = plain(weight, bias)
    return lambda x: multiply(x) * (1 + (len(x) == 5) * 2**-22)


def by_place(weight: Tensor, bias: Tensor | None) -> Product:
    """Depend on the place: six rows are taken at a time, what is left is rounded otherwise."""
    multiply = plain(weight, bias)
    return lambda x: torch.cat([multiply(x[:6]), multiply(x[6:]) * (1 + 2**-22)])


def by_neighbour(weight: Tensor, bias: Tensor | None) -> Product:
    """Depend on the other rows, as a common scale of them all would."""
    multiply = plain(weight, bias)
    return lambda x: multiply(x) + x.abs().max() * 2**-18


def by_threads(weight: Tensor, bias: Tensor | None) -> Product:
    """Depend on the number of threads: each sums its part of a row."""
    multiply = plain(weight, bias)
    return lambda x: multiply(x) * (1 + (torch.get_num_threads() == 2) * 2**-22)


def rounded(weight: Tensor, bias: Tensor | None) -> Product:
    """Hold, and round to 8 bits: another number in any batch alike."""
    multiply = plain(weight, bias)
    return lambda x: multiply(x.bfloat16().float())


def absent(weight: Tensor, bias: Tensor | None) -> None:
    """Have nothing of the kind."""


@pytest.mark.parametrize("broken", [by_number, by_place, by_neighbour, by_threads, rounded, absent])
def test_a_layout_that_breaks_the_rule_is_passed_over(
    broken: Callable[[Tensor, Tensor | None], Product], only: Callable[..., None]
) -> None:
    weight = half_exact(300, 64)
    only(broken=broken, next=plain, last=absent)
    assert lay_out(weight, torch.randn(300))[0] == "next"
    # And so it is with a second weight of the same shape, which is not tried again.
    assert lay_out(weight, torch.randn(300))[0] == "next"


def test_where_none_holds_the_last_is_taken(only: Callable[..., None]) -> None:
    row_by_row = LAYOUTS["row by row"]
    only(first=by_place, second=by_threads, last=row_by_row)
    weight, x = half_exact(300, 64), torch.randn(3, 64)
    name, multiply = lay_out(weight, None)
    assert name == "last"
    assert torch.equal(multiply(x), row_by_row(weight, None)(x))  # type: ignore[misc] (it is never None)


@pytest.mark.parametrize("n_threads", [1, 2, 3])
def test_trying_leaves_threads_and_chance_as_they_were(
    n_threads: int, only: Callable[..., None], threads: None
) -> None:
    asked: set[int] = set()

    def watch(weight: Tensor, bias: Tensor | None) -> Product:
        multiply = plain(weight, bias)

        def count(x: Tensor) -> Tensor:
            asked.add(torch.get_num_threads())
            return multiply(x)

        assert torch.get_num_threads() == 1
        return count

    only(watched=watch, last=absent)
    torch.set_num_threads(n_threads)
    weight, state = half_exact(30, 64), torch.get_rng_state()
    lay_out(weight, None)
    assert torch.get_num_threads() == n_threads
    assert torch.equal(torch.get_rng_state(), state)
    assert asked == {1, 2, n_threads}


def test_blocks_of_one_shape_are_tried_once(network: Whisper, only: Callable[..., None]) -> None:
    tried: list[tuple[int, ...]] = []

    def watch(weight: Tensor, bias: Tensor | None) -> Product:
        multiply = plain(weight, bias)

        def count(x: Tensor) -> Tensor:
            tried.append(tuple(weight.shape))
            return multiply(x)

        return count

    only(watched=watch, last=absent)
    decoder = RowDecoder(network)
    n_once = len(tried)
    assert len(set(tried)) == 5
    RowDecoder(network)
    assert len(tried) == n_once
    assert decoder.layout == "watched"


def test_the_choice_is_told(
    network: Whisper, only: Callable[..., None], caplog: pytest.LogCaptureFixture
) -> None:
    only(first=by_number, second=lambda w, b: None if b is None else plain(w, b), third=plain)
    with caplog.at_level(logging.INFO, logger="features.sound.whisper_decoder"):
        decoder = RowDecoder(network)
    assert decoder.layout == "second, third"
    assert "second, third" in caplog.text


def usable() -> Sequence[str]:
    """Say which layouts this machine has, whether they hold or not."""
    weight = half_exact(16, 16)
    return [name for name, layout in LAYOUTS.items() if layout(weight, None) is not None]


@pytest.mark.parametrize("first", range(len(LAYOUTS)))
@pytest.mark.parametrize(("n_out", "n_in"), SHAPES)
@torch.inference_mode()
def test_a_row_is_bit_for_bit_the_same_in_any_number_of_rows_and_threads(
    first: int, n_out: int, n_in: int, only: Callable[..., None], threads: None
) -> None:
    """Whatever a machine lacks of the first layouts: what is chosen of the others holds."""
    only(**dict(list(LAYOUTS.items())[first:]))
    weight, bias, x = half_exact(n_out, n_in), torch.randn(n_out), torch.randn(ROWS, n_in)
    multiply = lay_out(weight, bias)[1]
    torch.set_num_threads(1)
    together = multiply(x)
    wanted = plain(weight, bias)(x)
    assert (together - wanted).abs().max() <= TOLERANCE * wanted.abs().max()
    for n_threads in (1, 2):
        torch.set_num_threads(n_threads)
        for n_rows in range(1, ROWS + 1):
            assert torch.equal(multiply(x[-n_rows:]), together[-n_rows:])
    # Laid out where there are two threads, it is the same again.
    again = lay_out(weight, bias)[1](x)
    assert torch.equal(again, together)


@torch.inference_mode()
def test_weights_that_need_more_than_16_bits_keep_them() -> None:
    weight, x = torch.randn(300, 64), torch.randn(3, 64)
    error = (lay_out(weight, None)[1](x) - F.linear(x, weight)).abs().max()
    rounded = (F.linear(x, weight.half().float()) - F.linear(x, weight)).abs().max()
    assert error < 1e-4 < rounded


@pytest.mark.whisper
def test_layouts_differ_by_less_than_a_stated_bound(
    only: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """docs/decisions/0009: what is stored does not depend on the layout, but for a last digit."""
    network = load_whisper("base")
    waveform = read_waveform(sorted(SPEECH.glob("*.flac"))[2])
    found: dict[str, Any] = {}
    for name in usable():
        only(**{name: LAYOUTS[name]})
        extractor = AudioExtractor(AudioConfig(dtype="float32"), network=network)
        decoder = RowDecoder(network)
        assert decoder.layout == name
        sound = extractor._encoder.encode(extractor._encoder.mel(waveform), 0).features
        place = decoder.enter(sound)
        prompt = [50_258, 50_259, 50_359, 50_364, *range(1000, 1020)]
        logits = torch.stack([decoder.step({place: token})[place] for token in prompt])
        found[name] = logits, extractor.extract(waveform)
    (wanted, heard), *others = found.values()
    assert others
    assert heard.detail["text"]
    for logits, result in others:
        assert (logits - wanted).abs().max() < 1e-3
        for tensor in ("pooled_audio", "pooled_speech"):
            assert np.array_equal(result.tensors[tensor], heard.tensors[tensor])
        # Rounded to four digits, of which the last may fall either way.
        near = ("avg_logprob", "language_prob", "no_speech_prob")
        for key in near:
            assert result.detail[key] == pytest.approx(heard.detail[key], abs=1.5e-4)
        same = result.detail.keys() - near
        assert {k: result.detail[k] for k in same} == {k: heard.detail[k] for k in same}


@torch.inference_mode()
def test_a_step_is_stock_whisper_s(network: Whisper) -> None:
    sound, tokens = features(0), [[7, 300, 2, 19]]
    expected = network.decoder(torch.tensor(tokens), sound)[0]
    decoder = RowDecoder(network)
    place = decoder.enter(sound)
    for token, wanted in zip(tokens[0], expected, strict=True):
        error = (decoder.step({place: token})[place] - wanted).abs().max()
        assert error <= TOLERANCE * wanted.abs().max()


@torch.inference_mode()
def test_other_machines_products_give_the_same(network: Whisper, only: Callable[..., None]) -> None:
    def first_logits() -> Tensor:
        decoder = RowDecoder(network)
        return decoder.step({decoder.enter(features(0)): 7})[0]

    here = first_logits()
    only(plain=plain)
    there = first_logits()
    assert (there - here).abs().max() <= TOLERANCE * here.abs().max()


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
