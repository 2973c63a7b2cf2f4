"""What is said in a window of sound: language, speech or not, words and their times.

Two guards keep invented words out of the catalog: a gate before decoding, and a check of the
decoded text after it.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

from features.waveform import SILENT_BELOW_DBFS

#: One encoder frame is 20 ms: the unit of timestamp tokens and of every `*_frame` here.
FRAME_S: Final = 0.02
N_WINDOW_FRAMES: Final = 1500

# The gate needs both signs: speech reaches a no-speech probability of 0.64, and short or foreign
# speech a language probability of 0.32, but never together (19 windows and 27 clips measured).
NO_SPEECH_ABOVE: Final = 0.6
LANGUAGE_BELOW: Final = 0.7
# Stock Whisper's limits. There they start another, random decoding; here they drop the window.
LOGPROB_BELOW: Final = -1.0
COMPRESSION_ABOVE: Final = 2.4
#: The rules above, as they are written into a feature set's name.
GATE: Final = (
    f"no_speech>{NO_SPEECH_ABOVE} and language<{LANGUAGE_BELOW}; "
    f"drop logprob<{LOGPROB_BELOW}, compression>{COMPRESSION_ABOVE}; silent<{SILENT_BELOW_DBFS}"
)
#: A sentence cut off by the end of the file is read again from its start only if this much is left.
MIN_TAIL_FRAMES: Final = 50

DropReason = Literal["no_speech", "improbable", "repetitive", "no_words"]


@dataclass(frozen=True)
class Hearing:
    """What one decoder step on a window says before any word is decoded."""

    language: str | None  # None for English-only weights, which cannot tell
    language_prob: float | None
    no_speech_prob: float

    @property
    def is_speech(self) -> bool:
        """False only where both signs speak against speech."""
        uncertain = self.language_prob is None or self.language_prob < LANGUAGE_BELOW
        return not (self.no_speech_prob > NO_SPEECH_ABOVE and uncertain)


@dataclass(frozen=True)
class Span:
    """A piece of text between two frames of its window, end exclusive."""

    start_frame: int
    end_frame: int
    tokens: tuple[int, ...]


@dataclass(frozen=True)
class Reading:
    """One window, read: spans are empty when it was dropped. `n_frames_read` is always positive."""

    hearing: Hearing
    dropped: DropReason | None
    spans: tuple[tuple[Span, str], ...]
    avg_logprob: float | None
    n_tokens: int
    n_frames_read: int


def cut(
    tokens: Sequence[int], timestamp_begin: int, *, n_frames: int, last: bool
) -> tuple[list[Span], int]:
    """Cut a window's tokens into timed spans and say how many of its frames are dealt with.

    Two timestamps in a row end one span and begin the next. When the tokens stop inside a span,
    that span runs past the window: reading goes on from its start, except where the file ends
    first (`last`) and less than a second is left, which is then taken as it is.
    """

    def frame(token: int) -> int:
        return min(max(token - timestamp_begin, 0), n_frames)

    stamps = [token >= timestamp_begin for token in tokens]
    pairs = [i + 1 for i in range(len(tokens) - 1) if stamps[i] and stamps[i + 1]]
    spans: list[Span] = []
    begin = 0
    for end in pairs:
        spans.append(Span(frame(tokens[begin]), frame(tokens[end - 1]), tuple(tokens[begin:end])))
        begin = end
    finished = len(tokens) >= 2 and stamps[-1] and not stamps[-2]
    resume = frame(tokens[begin - 1]) if pairs else 0
    worth_reading_again = not last or n_frames - resume >= MIN_TAIL_FRAMES
    if pairs and not finished and resume > 0 and worth_reading_again:
        n_read = resume
    else:
        rest = tokens[begin:]
        ends = [frame(token) for token in rest if token > timestamp_begin]
        start = frame(rest[0]) if rest and rest[0] >= timestamp_begin else 0
        end = ends[-1] if ends and ends[-1] > start else n_frames
        spans.append(Span(start, end, tuple(rest)))
        n_read = n_frames
    return [span for span in spans if span.end_frame > span.start_frame], n_read


def seconds(frame: float) -> float:
    """Turn a frame number into seconds, to the hundredth that timestamps have."""
    return round(frame * FRAME_S, 2)


def mean(values: Sequence[float]) -> float | None:
    """Average, or None of nothing."""
    return math.fsum(values) / len(values) if values else None
