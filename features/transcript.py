"""What is said in an encoded window of sound: language, speech or not, words and their times.

Greedy decoding with stock Whisper's own token rules. Two guards keep invented words out of the
catalog: a gate before decoding, and a check of the decoded text after it.
"""

import math
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final, Literal

import torch
from torch import Tensor, nn
from whisper.decoding import DecodingOptions, DecodingTask
from whisper.model import Whisper
from whisper.tokenizer import get_tokenizer
from whisper.utils import compression_ratio

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
#: A sentence cut off by the end of the file is read again from its start only if this much is left.
MIN_TAIL_FRAMES: Final = 50

#: A loop runs to the limit of 224 tokens; it is left as soon as it is plain.
LOOP_CHECK_FROM: Final = 64
LOOP_CHECK_EVERY: Final = 16

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


class WindowReader:
    """Reads encoded windows one at a time, so that no row's text depends on its neighbours."""

    def __init__(self, network: Whisper) -> None:
        self._network = network
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
        embedding = network.decoder.token_embedding
        # Every token is multiplied with this matrix, transposed. Stored the other way round the
        # product reads memory in order: 4 ms instead of 11 ms a token. Values stay the same.
        embedding.weight = nn.Parameter(embedding.weight.T.contiguous().T, requires_grad=False)

    @torch.inference_mode()
    def read(self, features: Tensor, *, n_frames: int, last: bool, language: str | None) -> Reading:
        """Read one window.

        features: (1, 1500, E) float32, the encoder's output; n_frames: how many of them are sound.
        last: nothing follows this window. language: what the file speaks, if that is known.
        """
        with self._cache() as cache:
            logits = self._step([self._tokenizer.sot], features, cache)
            hearing = self._hear(logits)
            if not hearing.is_speech:
                return Reading(hearing, "no_speech", (), None, 0, n_frames)
            tokens, avg_logprob = self._decode(
                logits, features, cache, language or hearing.language
            )
        spans, n_read = cut(tokens, self._tokenizer.timestamp_begin, n_frames=n_frames, last=last)
        dropped = self._objection(avg_logprob, tokens)
        if dropped is not None:
            return Reading(hearing, dropped, (), avg_logprob, len(tokens), n_frames)
        said = ((span, self._text(span.tokens)) for span in spans)
        # "..." and the notes of music are text, but not words.
        kept = tuple((span, text) for span, text in said if any(map(str.isalnum, text)))
        return Reading(
            hearing, None if kept else "no_words", kept, avg_logprob, len(tokens), n_read
        )

    def _hear(self, logits: Tensor) -> Hearing:
        no_speech_prob = float(logits.softmax(-1)[0, self._tokenizer.no_speech])
        if not self._network.is_multilingual:
            return Hearing(None, None, no_speech_prob)
        languages = logits[0, list(self._tokenizer.all_language_tokens)].softmax(-1)
        best = int(languages.argmax())
        code: str = self._tokenizer.all_language_codes[best]
        return Hearing(code, float(languages[best]), no_speech_prob)

    def _decode(
        self,
        logits: Tensor,
        features: Tensor,
        cache: Mapping[nn.Module, Tensor],
        language: str | None,
    ) -> tuple[list[int], float]:
        """Return the greedy tokens (timestamps among them) and their mean log probability."""
        prompt = [self._tokenizer.sot]
        if language is not None:
            place = self._tokenizer.all_language_codes.index(language)
            prompt += [self._tokenizer.all_language_tokens[place], self._tokenizer.transcribe]
        # One token at a time on the cache of the first step: the cross-attention's keys and values
        # are then projected once a window, not three times.
        for token in prompt[1:]:
            logits = self._step([token], features, cache)
        seen = torch.tensor([prompt], device=logits.device)
        sum_logprob = 0.0
        while True:
            for rule in self._rules:
                rule.apply(logits, seen)
            token = int(logits[0].argmax())
            sum_logprob += float(logits[0].log_softmax(-1)[token])
            if token == self._tokenizer.eot:
                break
            seen = torch.cat([seen, seen.new_tensor([[token]])], dim=1)
            n = seen.shape[1] - len(prompt)
            check = n >= LOOP_CHECK_FROM and n % LOOP_CHECK_EVERY == 0
            if n >= self._max_tokens or (check and self._is_loop(seen[0, len(prompt) :].tolist())):
                break
            logits = self._step([token], features, cache)
        tokens: list[int] = seen[0, len(prompt) :].tolist()
        return tokens, sum_logprob / (len(tokens) + 1)

    def _step(
        self, tokens: Sequence[int], features: Tensor, cache: Mapping[nn.Module, Tensor]
    ) -> Tensor:
        last = torch.tensor([list(tokens)], device=features.device)
        logits: Tensor = self._network.decoder(last, features, kv_cache=cache)
        return logits[:, -1]

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

    @contextmanager
    def _cache(self) -> Iterator[dict[nn.Module, Tensor]]:
        cache, hooks = self._network.install_kv_cache_hooks()
        try:
            yield cache
        finally:
            for hook in hooks:
                hook.remove()


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
