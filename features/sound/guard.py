"""Which words of a window are kept: those that somebody said, and no others.

Whisper writes words for everything, so each window is asked two things that fail apart. Is there a
voice (Silero's network), and is Whisper sure of what it wrote? Where a voice is heard, a middling
sureness is enough; where none is, as in some singing, Whisper must be sure by itself. All numbers
are free of the sound's level. They were chosen on one half of a labelled corpus and tried on the
other: docs/benchmarks.md.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

from whisper.utils import compression_ratio

from features.sound.voice import SHA256, VOICE_FROM
from features.sound.waveform import SILENT_BELOW_DBFS

#: Less of a voice in a window than this is none.
VOICE_S: Final = 0.25
NO_SPEECH_ABOVE: Final = 0.6
#: Below this Whisper guesses at the language, and the surest window of the file is asked.
LANGUAGE_BELOW: Final = 0.5
#: Mean log-probability of the tokens. -1 is stock Whisper's own limit: of the words just below it
#: two in five were right, were the language as plain as may be.
LOGPROB_BELOW: Final = -1.0
LOGPROB_BELOW_WITHOUT_VOICE: Final = -0.8
#: So sure of a line or two it is of a song; "Thank you." or "Bye!" it writes for a chime, too.
TOKENS_WITHOUT_VOICE: Final = 10
#: Text that packs better than this repeats itself: stock Whisper's own limit.
COMPRESSION_ABOVE: Final = 2.4
#: So often in a row, and most of the text: a loop, however little it packs ("1.5% 1.5% 1.5%").
REPEATS: Final = 3
#: Nothing is said so often in less: a drum is a voice for a moment, and "b-b-b-b" to Whisper.
REPEATS_VOICE_S: Final = 0.5
#: Numbers without a word are what Whisper writes for noise; a count is in a language.
NUMERALS_LANGUAGE_BELOW: Final = 0.7
#: The rules above, as they are written into a feature set's name.
GATE: Final = (
    f"voice>={VOICE_S}s at {VOICE_FROM} of {SHA256[:8]}, or no_speech<={NO_SPEECH_ABOVE}; "
    f"drop logprob<{LOGPROB_BELOW}, "
    f"without voice <{LOGPROB_BELOW_WITHOUT_VOICE} or <{TOKENS_WITHOUT_VOICE} tokens; "
    f"loops compression>{COMPRESSION_ABOVE} or x{REPEATS}, unless in voice>={REPEATS_VOICE_S}s; "
    f"language guessed<{LANGUAGE_BELOW}; numerals language<{NUMERALS_LANGUAGE_BELOW}; "
    f"silent<{SILENT_BELOW_DBFS}"
)
#: A loop runs to the limit of 224 tokens; it is left as soon as it is plain.
LOOP_CHECK_FROM: Final = 64
LOOP_CHECK_FROM_WITHOUT_VOICE: Final = 32
LOOP_CHECK_EVERY: Final = 16
#: Whoever says a line again and again says no more than this in a second.
TOKENS_PER_S: Final = 12
#: Words of which Whisper is so unsure from the start, and no voice is heard, get no better.
HOPELESS_FROM: Final = 16
HOPELESS_BELOW: Final = -1.4

DropReason = Literal["no_speech", "improbable", "repetitive", "numerals", "no_words"]


@dataclass(frozen=True)
class Hearing:
    """What is known of a window before any word is decoded.

    language: what Whisper takes it for, None for English-only weights, which cannot tell.
    voice_s: for how long a voice is heard in it.
    """

    language: str | None
    language_prob: float | None
    no_speech_prob: float
    voice_s: float

    @property
    def has_voice(self) -> bool:
        """Whether a voice is heard, be it for a word."""
        return self.voice_s >= VOICE_S

    @property
    def is_speech(self) -> bool:
        """Whether it is worth decoding: a voice is heard, or Whisper by itself thinks so."""
        return self.has_voice or self.no_speech_prob <= NO_SPEECH_ABOVE

    @property
    def may_repeat(self) -> bool:
        """Whether what repeats itself in the words may do so in the sound."""
        return (
            self.voice_s >= REPEATS_VOICE_S
            and self.no_speech_prob <= NO_SPEECH_ABOVE
            and self.knows_language(LANGUAGE_BELOW)
        )

    def knows_language(self, least: float) -> bool:
        """Whether the language is at least so sure; English-only weights have no doubt."""
        return self.language_prob is None or self.language_prob >= least


def objection(
    hearing: Hearing, text: str, n_words: int, avg_logprob: float, *, loop: bool
) -> DropReason | None:
    """Say why a window's words are not kept, None where they are. n_words: tokens without times."""
    least = LOGPROB_BELOW if hearing.has_voice else LOGPROB_BELOW_WITHOUT_VOICE
    if loop and not hearing.may_repeat:
        return "repetitive"
    if avg_logprob < least or (n_words < TOKENS_WITHOUT_VOICE and not hearing.has_voice):
        return "improbable"
    if not any(map(str.isalnum, text)):
        return "no_words"  # "..." and the notes of music are text, but not words
    only_numerals = not any(map(str.isalpha, text))
    if only_numerals and not hearing.knows_language(NUMERALS_LANGUAGE_BELOW):
        return "numerals"
    return None


def is_hopeless(hearing: Hearing, sum_logprob: float, n_tokens: int) -> bool:
    """Whether to stop decoding before the end, because it will be dropped anyway."""
    unsure = sum_logprob < HOPELESS_BELOW * n_tokens
    return n_tokens >= HOPELESS_FROM and unsure and not hearing.has_voice


def is_time_to_check(hearing: Hearing, n_tokens: int) -> bool:
    """Whether to look for a loop before the end of a window: not at every token, for it costs."""
    begin = LOOP_CHECK_FROM if hearing.has_voice else LOOP_CHECK_FROM_WITHOUT_VOICE
    if n_tokens < begin or n_tokens % LOOP_CHECK_EVERY:
        return False
    # A line that is said again and again is heard to its end.
    return not (hearing.may_repeat and n_tokens < TOKENS_PER_S * hearing.voice_s)


def is_loop(text: str, words: Sequence[int]) -> bool:
    """Whether most of a text is the same thing again. words: its tokens, without times."""
    if not text:
        return False
    once = once_said(words)
    mostly = once is not None and 2 * once <= len(words)
    return mostly or compression_ratio(text) > COMPRESSION_ABOVE


def once_said(words: Sequence[int]) -> int | None:
    """How many tokens are left when what is repeated at the end is said once.

    None where nothing is. The last repetition may be cut off in its middle.
    """
    n = len(words)
    for period in range(1, n // REPEATS + 1):
        same = 0
        while same < n - period and words[n - 1 - same] == words[n - 1 - same - period]:
            same += 1
        if same >= (REPEATS - 1) * period:
            return n - same
    return None


def surest(hearing: Hearing, known: tuple[str, float] | None) -> str | None:
    """Choose the language to decode in: the window's own, or where it guesses, the file's.

    known: the language of which another window of the file is surest, and how sure.
    """
    if known is None or hearing.language_prob is None or hearing.knows_language(LANGUAGE_BELOW):
        return hearing.language
    language, prob = known
    return language if prob > hearing.language_prob else hearing.language
