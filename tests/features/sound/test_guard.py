"""Which words are kept. The numbers are those of real windows: see bench/words_corpus.py."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.sound.guard import (
    REPEATS,
    Hearing,
    is_hopeless,
    is_loop,
    is_time_to_check,
    objection,
    once_said,
    surest,
)

COUNTED = "1, 2, 3, 4, 5, 6, 7, 8, 9, 10."


def hearing(
    voice_s: float = 8, language_prob: float | None = 0.9, no_speech_prob: float = 0.1
) -> Hearing:
    return Hearing(None if language_prob is None else "en", language_prob, no_speech_prob, voice_s)


@pytest.mark.parametrize(
    ("voice_s", "no_speech_prob", "language_prob", "decoded"),
    [
        (8.0, 0.01, 0.99, True),
        (8.0, 0.71, 0.55, True),  # sung over a band: the old gate lost it
        (0.3, 0.95, 0.30, True),  # one word in music
        (0.0, 0.29, 0.66, True),  # singing that is no voice to the network, and Whisper is sure
        (0.0, 0.65, 0.90, False),
        (0.0, 0.31, 0.42, True),  # a badger, whose words are dropped when they are there
        (0.2, 0.83, 0.47, False),  # a lion
        (0.0, 0.99, None, False),  # English-only weights know no languages
        (0.0, 0.30, None, True),
    ],
)
def test_a_window_is_decoded_for_a_voice_or_because_whisper_is_sure(
    voice_s: float, no_speech_prob: float, language_prob: float | None, decoded: bool
) -> None:
    assert hearing(voice_s, language_prob, no_speech_prob).is_speech is decoded


@pytest.mark.parametrize(
    ("heard", "text", "avg_logprob", "reason"),
    [
        (hearing(), "Welcome to the directory.", -0.31, None),
        (hearing(0.3, 0.81, 0.12), "Victory... No... Amazing!", -0.98, None),
        (hearing(0.0, 0.56, 0.3), "All the stars are falling down and I am waiting", -0.7, None),
        (hearing(0.0, 0.83, 0.11), "Thank you.", -0.7, "improbable"),  # something in a hall
        (hearing(0.3, 0.83, 0.11), "Thank you.", -0.7, None),
        (hearing(0.0, 0.58, 0.49), "FAP FAP", -0.85, "improbable"),  # a heron
        (hearing(0.0, 0.32, 0.6), "In 1998 there were 1,570 a day", -0.93, "improbable"),  # a tune
        (hearing(0.0, 0.72, 0.6), "Oh", -1.26, "improbable"),  # the hum of the mains
        (hearing(), "This is the best way to get rid of the evil spirit", -1.72, "improbable"),
        (hearing(8, 0.27), "Bugin Hama Chot Gamel", -1.14, "improbable"),  # Turkish, as English
        (hearing(), "...", -0.2, "no_words"),
        (hearing(), "♪♪", -0.2, "no_words"),
        (hearing(8, 0.81), COUNTED, -0.26, None),  # a count has its language
        (hearing(8, 0.36), "1.5% 2.5% 2.5%", -0.4, "numerals"),  # a dog, in Nynorsk
    ],
)
def test_words_are_kept_where_a_voice_or_whisper_vouches_for_them(
    heard: Hearing, text: str, avg_logprob: float, reason: str | None
) -> None:
    assert objection(heard, text, len(text.split()), avg_logprob, loop=False) == reason


@pytest.mark.parametrize(
    ("heard", "reason"),
    [
        (hearing(9, 0.82, 0.39), None),  # a chorus
        (hearing(3, 1.0, 0.01), None),  # counting aloud
        (hearing(0.6, 0.9, 0.1), None),  # no, no, no!
        (hearing(0.34, 0.58, 0.48), "repetitive"),  # a drum, as "b-b-b-b"
        (hearing(0.0, 0.55, 0.2), "repetitive"),  # nobody speaks
        (hearing(9, 0.27, 0.5), "repetitive"),  # a hippopotamus, in what might be Japanese
        (hearing(9, 0.72, 0.9), "repetitive"),
    ],
)
def test_what_repeats_itself_is_kept_where_somebody_plainly_speaks(
    heard: Hearing, reason: str | None
) -> None:
    assert objection(heard, "dance with me " * 8, 24, -0.2, loop=True) == reason


@pytest.mark.parametrize(
    ("text", "words", "loop"),
    [
        # Packs to 2.1, below stock Whisper's limit, and is the same five times.
        ("1.5% 1.5% 1.5% 1.5% 1.5%", [1, 2, 3, 4] * 5, True),
        ("la " * 60, [7] * 60, True),
        ("We walked along the river", [1, 2, 3, 4, 5], False),
        (COUNTED, [*range(10)], False),
        ("it was very, very, very good", [1, 2, 3, 4, 3, 4, 3, 5], False),
        ("And then I said no no no", [1, 2, 3, 4, 5, 6, 5, 5, 5][:8], False),
        ("", [], False),
    ],
)
def test_a_loop_is_known_by_what_it_repeats(text: str, words: list[int], loop: bool) -> None:
    assert is_loop(text, words) is loop


@given(
    st.lists(st.integers(0, 5), max_size=6),
    st.lists(st.integers(6, 9), min_size=1, max_size=5, unique=True),
    st.integers(REPEATS, 9),
    st.integers(0, 4),
)
def test_what_is_repeated_is_said_once_whatever_came_before(
    before: list[int], unit: list[int], times: int, rest: int
) -> None:
    words = before + unit * times + unit[: rest % len(unit)]
    n = once_said(words)
    assert n is not None
    assert words[:n] == before + unit


@given(st.lists(st.integers(0, 99), unique=True, max_size=60))
def test_what_is_said_once_is_no_repetition(words: list[int]) -> None:
    assert once_said(words) is None


def test_hopeless_words_are_not_read_to_their_end_where_nobody_speaks() -> None:
    nobody, somebody = hearing(0.0), hearing()
    assert is_hopeless(nobody, -1.5 * 16, 16)
    assert not is_hopeless(nobody, -1.5 * 15, 15)
    assert not is_hopeless(nobody, -1.1 * 30, 30)
    assert not is_hopeless(somebody, -1.5 * 16, 16)


def test_a_loop_is_looked_for_early_where_nobody_speaks_and_late_where_somebody_repeats() -> None:
    def first(heard: Hearing) -> int:
        return next(n for n in range(1, 225) if is_time_to_check(heard, n))

    unsure, repeating = hearing(9, 0.3), hearing(9, 0.9)
    assert first(hearing(0.0)) < first(unsure) < first(repeating)
    # Nobody says more in nine seconds; a loop over them goes on to 224.
    assert 9 * 10 < first(repeating) < 9 * 14


def test_a_window_has_its_own_language_and_asks_the_file_only_when_it_guesses() -> None:
    german = ("de", 0.21)  # seven seconds, of which Whisper is not sure
    assert surest(hearing(language_prob=0.9), german) == "en"
    assert surest(hearing(language_prob=0.6), ("de", 0.99)) == "en"
    assert surest(hearing(language_prob=0.3), ("de", 0.99)) == "de"
    assert surest(hearing(language_prob=0.3), german) == "en"
    assert surest(hearing(language_prob=0.3), None) == "en"
    assert surest(hearing(language_prob=None), None) is None
