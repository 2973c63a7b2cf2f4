import dataclasses

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from whisper.decoding import DecodingOptions
from whisper.model import Whisper

from features.errors import FeatureError, NotFinite
from features.sound.guard import Hearing
from features.sound.transcript import (
    Job,
    Reading,
    Request,
    Span,
    WindowReader,
    cut,
    read_in_lock_step,
    second_start,
    within_voice,
)
from features.sound.whisper_decoder import ROWS
from tests.features.sounds import random_whisper

T0 = 100  # the first timestamp token of these tests; what is below is text


def at(frame: int) -> int:
    return T0 + frame


def test_two_timestamps_in_a_row_part_two_spans() -> None:
    tokens = [at(0), 1, 2, at(50), at(50), 3, at(90)]
    assert cut(tokens, T0, n_frames=1500, last=False) == (
        [Span(0, 50, (at(0), 1, 2, at(50))), Span(50, 90, (at(50), 3, at(90)))],
        1500,
    )


def test_reading_goes_on_where_a_sentence_ran_past_the_window() -> None:
    tokens = [at(0), 1, at(900), at(900), 2, 3]
    assert cut(tokens, T0, n_frames=1500, last=False) == ([Span(0, 900, tuple(tokens[:3]))], 900)


def test_a_short_rest_at_the_end_of_the_file_is_taken_as_it_is() -> None:
    tokens = [at(0), 1, at(460), at(460), 2]
    assert cut(tokens, T0, n_frames=500, last=True) == (
        [Span(0, 460, (at(0), 1, at(460))), Span(460, 500, (at(460), 2))],
        500,
    )
    assert cut(tokens, T0, n_frames=510, last=True)[1] == 460
    assert cut(tokens, T0, n_frames=500, last=False)[1] == 460


def test_text_without_times_fills_its_window() -> None:
    assert cut([1, 2], T0, n_frames=300, last=True) == ([Span(0, 300, (1, 2))], 300)


def test_timestamps_are_held_within_the_sound() -> None:
    tokens = [at(0), 1, at(1400)]
    assert cut(tokens, T0, n_frames=355, last=True) == ([Span(0, 355, tuple(tokens))], 355)


def test_nothing_said_is_no_text_and_still_read() -> None:
    spans, n_read = cut([], T0, n_frames=355, last=True)
    assert n_read == 355
    assert [span.tokens for span in spans] == [()]


@given(
    st.lists(st.integers(0, 99) | st.integers(T0, T0 + 1500), max_size=40),
    st.integers(1, 1500),
    st.booleans(),
)
def test_every_window_moves_the_reading_on(tokens: list[int], n_frames: int, last: bool) -> None:
    spans, n_read = cut(tokens, T0, n_frames=n_frames, last=last)
    assert 0 < n_read <= n_frames
    assert all(0 <= span.start_frame < span.end_frame <= n_frames for span in spans)


def voice(*frames: tuple[int, int], n_frames: int = 1500) -> np.ndarray:
    heard = np.zeros(n_frames, bool)
    for start, end in frames:
        heard[start:end] = True
    return heard


def test_a_span_begins_and_ends_with_the_voice_in_it() -> None:
    """Twelve seconds of a tune before a sentence are no speech, and Whisper counts them in."""
    span = Span(0, 1100, (1, 2, 3))
    assert within_voice(span, voice((600, 700), (720, 800)), 9) == Span(590, 810, span.tokens)
    assert within_voice(span, voice((5, 1095)), 9) == span


def test_a_span_stays_where_the_voice_is_too_short_for_its_words() -> None:
    """In singing a voice is heard here and there only: half a second cannot hold twenty words."""
    span = Span(0, 1100, (1, 2, 3))
    assert within_voice(span, voice((600, 625)), 20) == span
    assert within_voice(span, voice(), 1) == span


def test_refused_words_are_read_again_from_where_the_voice_begins() -> None:
    assert second_start(voice((600, 900))) == 590
    assert second_start(voice((60, 900))) is None
    assert second_start(voice()) is None
    # What is left of a window begins with its voice, so that nothing is read a third time.
    assert second_start(voice((600, 900))[590:]) is None


@pytest.fixture(scope="module")
def network() -> Whisper:
    return random_whisper(n_text_ctx=40)


@pytest.fixture
def reader(network: Whisper, monkeypatch: pytest.MonkeyPatch) -> WindowReader:
    """A reader that hears speech in noise: what a network without knowledge says is chance."""
    monkeypatch.setattr(Hearing, "is_speech", True)
    return WindowReader(network)


def request(seed: int, *, known: tuple[str, float] | None = None) -> Request:
    sound = torch.randn(1, 1500, 64, generator=torch.Generator().manual_seed(seed))
    return Request(sound, 700 + seed, True, known, voice((0, 350), n_frames=700 + seed))


def job(*seeds: int) -> Job[list[Reading]]:
    readings = []
    for seed in seeds:
        readings.append((yield request(seed)))
    return readings


def test_tokens_are_those_of_stock_whisper(network: Whisper, reader: WindowReader) -> None:
    asked = request(0)
    window = reader.begin(asked)
    opened = reader._open[window]
    while not (finished := reader.advance()):
        pass
    language = finished[window].language
    options = DecodingOptions(language=language, temperature=0.0, fp16=False)
    stock = network.decode(asked.features, options)[0]
    assert opened.tokens == stock.tokens
    assert finished[window].avg_logprob == pytest.approx(stock.avg_logprob, abs=1e-4)
    assert finished[window].hearing.no_speech_prob == pytest.approx(stock.no_speech_prob, abs=1e-6)


def test_a_window_is_read_in_the_file_s_language_only_where_it_guesses_at_its_own(
    reader: WindowReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    def language(known: tuple[str, float] | None) -> str | None:
        def ask() -> Job[Reading]:
            return (yield request(0, known=known))

        (reading,) = read_in_lock_step([ask()], reader)
        assert isinstance(reading, Reading)
        return reading.language

    own = language(None)
    assert own not in (None, "fi")
    assert language(("fi", 1.0)) == own
    monkeypatch.setattr(Hearing, "knows_language", lambda _hearing, _least: False)
    assert language(("fi", 1.0)) == "fi"
    assert language(("fi", 0.0)) == own


def test_more_jobs_than_places_are_all_read_each_as_if_it_were_alone(
    reader: WindowReader,
) -> None:
    seeds = [[i, 20 + i] if i % 3 else [i] for i in range(ROWS + 5)]
    together = read_in_lock_step([job(*s) for s in seeds], reader)
    assert reader.n_free == ROWS
    alone = [read_in_lock_step([job(*s)], reader)[0] for s in reversed(seeds)]
    assert together == alone[::-1]
    assert len({reading.n_tokens for readings in together for reading in readings}) >= 1  # type: ignore[union-attr] (no job fails here)


def test_an_error_takes_the_place_of_its_job_only(reader: WindowReader) -> None:
    def fails(*, first: bool) -> Job[list[Reading]]:
        if not first:
            yield request(1)
        raise NotFinite("so it is")

    results = read_in_lock_step([fails(first=True), job(2), fails(first=False), job(3)], reader)
    assert [isinstance(result, FeatureError) for result in results] == [True, False, True, False]


def test_an_unknown_error_ends_it_and_leaves_the_reader_usable(reader: WindowReader) -> None:
    def breaks() -> Job[list[Reading]]:
        yield request(1)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        read_in_lock_step([job(2, 3), breaks()], reader)
    assert reader.n_free == ROWS
    assert read_in_lock_step([job(2)], reader) == read_in_lock_step([job(2)], reader)


def test_jobs_that_ask_for_nothing_need_no_reader() -> None:
    def silent(value: int) -> Job[int]:
        return value
        yield

    assert read_in_lock_step([silent(1), silent(2)], None) == [1, 2]
    assert read_in_lock_step([], None) == []


def test_a_window_without_speech_costs_one_step(network: Whisper) -> None:
    reader = WindowReader(network)
    asked = dataclasses.replace(request(0), n_frames=355)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Hearing, "is_speech", False)
        place = reader.begin(asked)
        reading = reader.advance()[place]
    assert (reading.dropped, reading.spans, reading.n_tokens) == ("no_speech", (), 0)
    assert (reading.n_frames_read, reader.n_free) == (355, ROWS)


def test_reading_leaves_no_hooks_and_changes_no_weight() -> None:
    network = random_whisper(n_text_ctx=40)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    reader = WindowReader(network)
    read_in_lock_step([job(3)], reader)
    assert not any(module._forward_hooks for module in network.modules())
    after = network.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before if "heads" not in name)
