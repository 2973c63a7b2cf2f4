"""What is said in windows of sound: language, speech or not, words and their times.

Stock Whisper's own token rules, greedy, each window by itself and many videos in lock step;
without its second tries, which are random, and without the text before a window as a prompt,
which lets one loop start the next. `guard` keeps invented words out of the catalog: before they
are decoded, and when they are there.
"""

import math
import warnings
from collections import deque
from collections.abc import Generator, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from whisper.decoding import DecodingOptions, DecodingTask
from whisper.model import Whisper
from whisper.tokenizer import get_tokenizer
from whisper.utils import compression_ratio

from features.errors import FeatureError
from features.sound.guard import (
    TOKENS_PER_S,
    DropReason,
    Hearing,
    is_hopeless,
    is_loop,
    is_time_to_check,
    objection,
    once_said,
    surest,
)
from features.sound.whisper_decoder import RowDecoder

#: One encoder frame is 20 ms: the unit of timestamp tokens and of every `*_frame` here.
FRAME_S: Final = 0.02
N_WINDOW_FRAMES: Final = 1500

#: A sentence cut off by the end of the file is read again from its start only if this much is left.
MIN_TAIL_FRAMES: Final = 50
#: Words that are refused are read again from where the voice begins, if that is so much later.
MIN_LEAD_FRAMES: Final = 100
#: A span begins and ends so near to the voice in it: what is soft before a vowel is no voice yet.
VOICE_MARGIN_FRAMES: Final = 10


@dataclass(frozen=True)
class Span:
    """A piece of text between two frames of its window, end exclusive."""

    start_frame: int
    end_frame: int
    tokens: tuple[int, ...]


@dataclass(frozen=True)
class Reading:
    """One window, read: spans are empty when it was dropped. `n_frames_read` is always positive.

    language: what it was decoded in. text: all that was decoded, be it dropped, or None.
    """

    hearing: Hearing
    dropped: DropReason | None
    spans: tuple[tuple[Span, str], ...]
    n_tokens: int
    n_frames_read: int
    language: str | None = None
    text: str | None = None
    avg_logprob: float | None = None

    @property
    def compression(self) -> float | None:
        """How many times smaller the text gets when it is packed: much, where it repeats itself."""
        return compression_ratio(self.text) if self.text else None


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


def within_voice(span: Span, voice: NDArray[np.bool_], n_words: int) -> Span:
    """Leave out what stands before and after the voice; n_words are the span's tokens.

    Whisper lets a sentence begin where the silence or the tune before it begins. All stays where
    the voice is too short to have said that much: in singing it is heard here and there only.
    """
    heard = np.flatnonzero(voice[span.start_frame : span.end_frame])
    if len(heard) * FRAME_S * TOKENS_PER_S < max(1, n_words):
        return span
    first = span.start_frame + int(heard[0]) - VOICE_MARGIN_FRAMES
    end = span.start_frame + int(heard[-1]) + 1 + VOICE_MARGIN_FRAMES
    return replace(
        span, start_frame=max(span.start_frame, first), end_frame=min(span.end_frame, end)
    )


def second_start(voice: NDArray[np.bool_]) -> int | None:
    """Where to read a window again whose words are refused; None where that would change nothing.

    A tune before a sentence spoils what Whisper makes of it.
    """
    heard = np.flatnonzero(voice)
    if not len(heard) or heard[0] - VOICE_MARGIN_FRAMES < MIN_LEAD_FRAMES:
        return None
    return int(heard[0]) - VOICE_MARGIN_FRAMES


def seconds(frame: float) -> float:
    """Turn a frame number into seconds, to the hundredth that timestamps have."""
    return round(frame * FRAME_S, 2)


def mean(values: Sequence[float]) -> float | None:
    """Average, or None of nothing."""
    return math.fsum(values) / len(values) if values else None


@dataclass(frozen=True)
class Request:
    """A window to read. features: (1, 1500, E) float32, of which n_frames are sound.

    last: nothing follows this window. known: of which language another window of the file is
    surest, and how sure. voice: (n_frames,), where a voice is heard.
    """

    features: Tensor
    n_frames: int
    last: bool
    known: tuple[str, float] | None
    voice: NDArray[np.bool_]


Result = TypeVar("Result")
#: Asks for windows to be read, one after the other, and comes to a result.
Job = Generator[Request, Reading, Result]


@dataclass
class _Open:
    """A window that is being read: `feed` goes into the decoder, the first of it next."""

    request: Request
    feed: deque[int]
    hearing: Hearing | None = None
    language: str | None = None
    prompt: list[int] = field(default_factory=list)
    tokens: list[int] = field(default_factory=list)
    sum_logprob: float = 0.0


class WindowReader:
    """Reads as many windows at a time as the decoder has places; none depends on the others."""

    def __init__(self, network: Whisper) -> None:
        self._multilingual: bool = network.is_multilingual
        with warnings.catch_warnings():
            # Whisper reads its vocabulary from a file that it does not close.
            warnings.simplefilter("ignore", ResourceWarning)
            self._tokenizer = get_tokenizer(
                network.is_multilingual,
                num_languages=network.num_languages,
                language="en" if network.is_multilingual else None,
                task="transcribe" if network.is_multilingual else None,
            )
        task = DecodingTask(network, DecodingOptions(language="en", fp16=False))
        self._rules = task.logit_filters
        self._max_tokens: int = task.sample_len
        self._decoder = RowDecoder(network)
        self._open: dict[int, _Open] = {}

    @property
    def n_free(self) -> int:
        """How many more windows can be begun."""
        return self._decoder.n_free

    def begin(self, request: Request) -> int:
        """Begin to read a window; its number is given back with its reading."""
        place = self._decoder.enter(request.features)
        sot: int = self._tokenizer.sot
        self._open[place] = _Open(request, deque([sot]), prompt=[sot])
        return place

    @torch.inference_mode()
    def advance(self) -> dict[int, Reading]:
        """Read one token further in every window; return those that this brought to an end."""
        logits = self._decoder.step({p: window.feed.popleft() for p, window in self._open.items()})
        finished: dict[int, Reading] = {}
        for place, found in logits.items():
            reading = self._take(self._open[place], found)
            if reading is not None:
                finished[place] = reading
                del self._open[place]
                self._decoder.leave(place)
        return finished

    def stop(self) -> None:
        """Leave whatever is being read."""
        for place in self._open:
            self._decoder.leave(place)
        self._open.clear()

    def _take(self, window: _Open, logits: Tensor) -> Reading | None:
        """Make use of what may come next in a window; the reading if nothing comes next."""
        if window.hearing is None:
            window.hearing = self._hear(logits, seconds(int(window.request.voice.sum())))
            if not window.hearing.is_speech:
                return Reading(window.hearing, "no_speech", (), 0, window.request.n_frames)
            window.language = surest(window.hearing, window.request.known)
            if window.language is not None:
                place = self._tokenizer.all_language_codes.index(window.language)
                window.feed.append(self._tokenizer.all_language_tokens[place])
                window.feed.append(self._tokenizer.transcribe)
                window.prompt += window.feed
        if window.feed:
            return None
        token = self._choose(window, logits[None])
        if token == self._tokenizer.eot:
            return self._finish(window, window.hearing, ended=True)
        window.tokens.append(token)
        if self._is_to_be_left(window, window.hearing):
            return self._finish(window, window.hearing, ended=False)
        window.feed.append(token)
        return None

    def _is_to_be_left(self, window: _Open, hearing: Hearing) -> bool:
        n = len(window.tokens)
        if n >= self._max_tokens or is_hopeless(hearing, window.sum_logprob, n):
            return True
        if not is_time_to_check(hearing, n):
            return False
        words = self._words(window.tokens)
        return is_loop(self._text(words), words)

    def _hear(self, logits: Tensor, voice_s: float) -> Hearing:
        no_speech_prob = float(logits.softmax(-1)[self._tokenizer.no_speech])
        if not self._multilingual:
            return Hearing(None, None, no_speech_prob, voice_s)
        languages = logits[list(self._tokenizer.all_language_tokens)].softmax(-1)
        best = int(languages.argmax())
        code: str = self._tokenizer.all_language_codes[best]
        return Hearing(code, float(languages[best]), no_speech_prob, voice_s)

    def _choose(self, window: _Open, logits: Tensor) -> int:
        seen = torch.tensor([window.prompt + window.tokens], device=logits.device)
        for rule in self._rules:
            rule.apply(logits, seen)
        token = int(logits[0].argmax())
        window.sum_logprob += float(logits[0, token] - logits[0].logsumexp(-1))
        return token

    def _finish(self, window: _Open, hearing: Hearing, *, ended: bool) -> Reading:
        """Cut a window's tokens into spans. ended: they came to an end by themselves."""
        tokens, n_frames = window.tokens, window.request.n_frames
        avg_logprob = window.sum_logprob / (len(tokens) + 1)
        words = self._words(tokens)
        text = self._text(words)
        loop = is_loop(text, words)
        dropped = objection(hearing, text, len(words), avg_logprob, loop=loop)
        kept: tuple[tuple[Span, str], ...] = ()
        n_read = n_frames
        if dropped is None and loop and not ended:
            # Somebody speaks, and Whisper fell into a loop over it; what came before was heard.
            once = once_said(words)
            dropped = "repetitive" if once is None else None
            spans = [Span(0, n_frames, tuple(words[:once]))]
        elif dropped is None:
            begin: int = self._tokenizer.timestamp_begin
            spans, n_read = cut(tokens, begin, n_frames=n_frames, last=window.request.last)
        if dropped in ("improbable", "repetitive"):
            n_read = second_start(window.request.voice) or n_frames
        if dropped is None:
            said = ((span, self._words(span.tokens)) for span in spans)
            heard = window.request.voice
            timed = ((within_voice(s, heard, len(w)), self._text(w)) for s, w in said)
            kept = tuple((span, words) for span, words in timed if any(map(str.isalnum, words)))
        return Reading(
            hearing, dropped, kept, len(tokens), n_read, window.language, text, avg_logprob
        )

    def _words(self, tokens: Sequence[int]) -> list[int]:
        return [token for token in tokens if token < self._tokenizer.eot]

    def _text(self, tokens: Sequence[int]) -> str:
        # The tokenizer leaves timestamps out by itself, other special tokens it would print.
        text: str = self._tokenizer.decode(self._words(tokens))
        return text.strip()


def read_in_lock_step(
    jobs: Iterable[Job[Result]], reader: WindowReader | None
) -> list[Result | FeatureError]:
    """Run jobs to their results, as many at once as the reader can read windows for.

    A known error takes the place of its job's result. reader: None where no job asks.
    """
    results: dict[int, Result | FeatureError] = {}
    reading: dict[int, tuple[int, Job[Result]]] = {}
    waiting = enumerate(jobs)

    def run(number: int, job: Job[Result], answer: Reading | None) -> None:
        try:
            request = next(job) if answer is None else job.send(answer)
        except StopIteration as stop:
            results[number] = stop.value
        except FeatureError as error:
            results[number] = error
        else:
            assert reader is not None  # a job without a reader asks for nothing
            reading[reader.begin(request)] = number, job

    try:
        while True:
            while (reader is None or reader.n_free) and (entry := next(waiting, None)) is not None:
                run(*entry, None)
            if not reading or reader is None:
                return [results[number] for number in sorted(results)]
            for place, answer in reader.advance().items():
                run(*reading.pop(place), answer)
    finally:
        if reader is not None:
            reader.stop()
