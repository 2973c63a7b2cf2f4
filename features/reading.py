"""Read encoded windows of sound: greedy, each window by itself, many videos in lock step.

Stock Whisper's own token rules, without its second tries, which are random, and without the text
before a window as a prompt, which lets one loop start the next.
"""

import warnings
from collections import deque
from collections.abc import Generator, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeVar

import torch
from torch import Tensor
from whisper.decoding import DecodingOptions, DecodingTask
from whisper.model import Whisper
from whisper.tokenizer import get_tokenizer
from whisper.utils import compression_ratio

from features.decoder import RowDecoder
from features.errors import FeatureError
from features.transcript import (
    COMPRESSION_ABOVE,
    LOGPROB_BELOW,
    DropReason,
    Hearing,
    Reading,
    cut,
)

#: A loop runs to the limit of 224 tokens; it is left as soon as it is plain.
LOOP_CHECK_FROM: Final = 64
LOOP_CHECK_EVERY: Final = 16


@dataclass(frozen=True)
class Request:
    """A window to read. features: (1, 1500, E) float32, of which n_frames are sound.

    last: nothing follows this window. language: what the file speaks, if that is known.
    """

    features: Tensor
    n_frames: int
    last: bool
    language: str | None


Result = TypeVar("Result")
#: Asks for windows to be read, one after the other, and comes to a result.
Job = Generator[Request, Reading, Result]


@dataclass
class _Open:
    """A window that is being read: `feed` goes into the decoder, the first of it next."""

    request: Request
    feed: deque[int]
    hearing: Hearing | None = None
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
            window.hearing = self._hear(logits)
            if not window.hearing.is_speech:
                return Reading(window.hearing, "no_speech", (), None, 0, window.request.n_frames)
            language = window.request.language or window.hearing.language
            if language is not None:
                place = self._tokenizer.all_language_codes.index(language)
                window.feed.append(self._tokenizer.all_language_tokens[place])
                window.feed.append(self._tokenizer.transcribe)
                window.prompt += window.feed
        if window.feed:
            return None
        token = self._choose(window, logits[None])
        if token == self._tokenizer.eot:
            return self._finish(window, window.hearing)
        window.tokens.append(token)
        n = len(window.tokens)
        check = n >= LOOP_CHECK_FROM and n % LOOP_CHECK_EVERY == 0
        if n >= self._max_tokens or (check and self._is_loop(window.tokens)):
            return self._finish(window, window.hearing)
        window.feed.append(token)
        return None

    def _hear(self, logits: Tensor) -> Hearing:
        no_speech_prob = float(logits.softmax(-1)[self._tokenizer.no_speech])
        if not self._multilingual:
            return Hearing(None, None, no_speech_prob)
        languages = logits[list(self._tokenizer.all_language_tokens)].softmax(-1)
        best = int(languages.argmax())
        code: str = self._tokenizer.all_language_codes[best]
        return Hearing(code, float(languages[best]), no_speech_prob)

    def _choose(self, window: _Open, logits: Tensor) -> int:
        seen = torch.tensor([window.prompt + window.tokens], device=logits.device)
        for rule in self._rules:
            rule.apply(logits, seen)
        token = int(logits[0].argmax())
        window.sum_logprob += float(logits[0, token] - logits[0].logsumexp(-1))
        return token

    def _finish(self, window: _Open, hearing: Hearing) -> Reading:
        tokens, n_frames = window.tokens, window.request.n_frames
        avg_logprob = window.sum_logprob / (len(tokens) + 1)
        dropped = self._objection(avg_logprob, tokens)
        if dropped is not None:
            return Reading(hearing, dropped, (), avg_logprob, len(tokens), n_frames)
        spans, n_read = cut(
            tokens, self._tokenizer.timestamp_begin, n_frames=n_frames, last=window.request.last
        )
        said = ((span, self._text(span.tokens)) for span in spans)
        # "..." and the notes of music are text, but not words.
        kept = tuple((span, text) for span, text in said if any(map(str.isalnum, text)))
        return Reading(
            hearing, None if kept else "no_words", kept, avg_logprob, len(tokens), n_read
        )

    def _objection(self, avg_logprob: float, tokens: Sequence[int]) -> DropReason | None:
        if avg_logprob < LOGPROB_BELOW:
            return "improbable"
        return "repetitive" if self._is_loop(tokens) else None

    def _is_loop(self, tokens: Sequence[int]) -> bool:
        text = self._text(tokens)
        return bool(text) and compression_ratio(text) > COMPRESSION_ABOVE

    def _text(self, tokens: Sequence[int]) -> str:
        # The tokenizer leaves timestamps out by itself, other special tokens it would print.
        text: str = self._tokenizer.decode([t for t in tokens if t < self._tokenizer.eot])
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
