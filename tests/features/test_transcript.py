import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.transcript import Hearing, Span, cut

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


@pytest.mark.parametrize(
    ("no_speech_prob", "language_prob", "is_speech"),
    [
        (0.01, 0.99, True),
        (0.64, 0.93, True),  # clear English over loud music
        (0.30, 0.32, True),  # one foreign word
        (0.61, 0.50, False),
        (0.99, 0.23, False),
        (0.99, None, False),  # English-only weights know no languages
        (0.30, None, True),
    ],
)
def test_the_gate_wants_both_signs(
    no_speech_prob: float, language_prob: float | None, is_speech: bool
) -> None:
    assert Hearing("en", language_prob, no_speech_prob).is_speech is is_speech
