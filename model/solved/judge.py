"""A zero-shot judge: a language model asked for each post, its answers put on the scale of views.

What it was asked with and what its answers are worth are in the weights; whom to ask now, and the
key to do so, come from the settings of whoever runs it: a model's file can make nobody call.
"""

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from itertools import islice
from typing import Final

import numpy as np
import torch
from torch import Tensor

from catalog.facts import AsOf, PostFacts
from model.base import Network, SolveRequest, learned
from model.batches import Batch, InputShapes
from model.errors import BadSetting, JudgeFailed, JudgeUnreachable, NothingToTrain
from model.settings import JUDGE_OFF, JudgeSettings
from model.solved.asking import Ask, asker, question, read_answer
from model.solved.constants import labelled
from model.targets import Floats

#: With fewer answers nobody knows what one is worth.
LEAST_ANSWERS: Final = 10
#: So many rows without an answer before the first one are no fault of the rows; later on the run's
#: own budget of failures ends it.
MOST_BEFORE_THE_FIRST: Final = 10
#: Rows that "an answer tells nothing" counts for.
PRIOR: Final = 10.0


@dataclass
class Asking:
    """Questions of one run: each post once, with a count of what was sent."""

    settings: JudgeSettings
    ask: Ask
    n_failed: int = 0
    n_answered: int = 0

    def __post_init__(self) -> None:
        self._answers: dict[bytes, float | JudgeFailed] = {}

    def answer(self, facts: PostFacts, name: str) -> float:
        """The number for a post: views, or a score of 0 to 100.

        name: of the post, for messages. Raises JudgeFailed, which concerns this post alone, and
        JudgeUnreachable.
        """
        asked = question(facts, self.settings)
        key = hashlib.sha256(asked.encode()).digest()
        if key not in self._answers:
            self._answers[key] = self._fresh(asked)
        found = self._answers[key]
        if isinstance(found, JudgeFailed):
            raise JudgeFailed(f"{name}: {found}")
        return found

    def _fresh(self, asked: str) -> float | JudgeFailed:
        try:
            number = read_answer(self.ask(asked), self.settings.answer)
        except JudgeFailed as error:
            self.n_failed += 1
            if not self.n_answered and self.n_failed >= MOST_BEFORE_THE_FIRST:
                raise JudgeUnreachable(
                    f"none of the first {self.n_failed} posts had an answer; the last: {error}"
                ) from error
            return error
        self.n_answered += 1
        return number

    def counts(self) -> Mapping[str, int]:
        """What a run notes of its questions; n_calls has every try of every post."""
        return {"n_posts": len(self._answers), "n_calls": self.ask.n_calls, "failed": self.n_failed}


# A model is asked row by row, far from the settings; only inside of `judging` is anybody called.
_NOW: ContextVar[Asking | None] = ContextVar("judge", default=None)


@contextmanager
def judging(settings: JudgeSettings) -> Iterator[None]:
    """Let models of kind `judge` ask whom the settings name, for as long as the block runs."""
    if not settings.is_on:
        yield
        return
    with asker(settings) as ask:
        token = _NOW.set(Asking(settings, ask))
        try:
            yield
        finally:
            _NOW.reset(token)


def asking_now(judge: str) -> Asking:
    """Who is asked by a model that was calibrated with that judge; BadSetting for any other."""
    asking = _NOW.get()
    if asking is None:
        raise BadSetting(f"{JUDGE_OFF}; and only `train`, `score` and `evaluate` ask")
    if asking.settings.identity != judge:
        raise BadSetting(
            f"this judge's answers were weighed as those of {judge}; the settings now name "
            f"{asking.settings.identity}: set [judge] back, or train it anew"
        )
    return asking


@dataclass(frozen=True)
class JudgeConfig:
    """judge: whom it asks and how, from the settings of [judge]; n_known is learned.

    as_of: what it is told of account and sound: what had been seen before the post, or ("crawl"),
    where nothing had, what was seen first afterwards.
    """

    judge: str = ""
    as_of: AsOf = "post"
    n_known: int = learned(0)


class Judge(Network):
    """What a judge says of each post, as views: the higher its answer, the higher or equal.

    known, place: answers for training rows, ascending, and the share of answers below each.
    line: (centre, slope) on the target's scale over the place.
    """

    config: JudgeConfig
    known: Tensor
    place: Tensor
    line: Tensor

    def __init__(self, config: JudgeConfig) -> None:
        super().__init__()
        self.config = config
        self.shapes = InputShapes()
        self.register_buffer("known", torch.zeros(config.n_known, dtype=torch.float64))
        self.register_buffer("place", torch.zeros(config.n_known, dtype=torch.float64))
        self.register_buffer("line", torch.zeros(2, dtype=torch.float64))

    def forward(self, batch: Batch) -> Tensor:
        """One answer of the judge for each row, (B,) float64. Raises JudgeFailed."""
        asking = asking_now(self.config.judge)
        answers = [asking.answer(row.facts, f"video {row.video_id}") for row in batch.examples]
        return torch.from_numpy(self.read(np.array(answers)))

    def counts(self) -> Mapping[str, int]:
        """How often somebody was asked so far in this run."""
        return asking_now(self.config.judge).counts()

    def read(self, answers: Floats) -> Floats:
        """Answers on the target's scale, (n,)."""
        centre, slope = self.line.tolist()
        place = np.interp(answers, self.known.numpy(), self.place.numpy())
        said: Floats = centre + slope * (place - 0.5)
        return said


def solve_judge(config: JudgeConfig, request: SolveRequest) -> Judge:
    """Ask for a sample of the training rows, and fit what an answer is worth.

    The place of an answer among the answers enters a line that never falls: language models like
    round numbers of any size, and it is their order that may be worth something. Raises
    NothingToTrain where too few rows have an answer, JudgeUnreachable.
    """
    asking = asking_now(config.judge)
    step = sample_step(len(request.train), asking.settings.train_calls)
    answers: list[float] = []
    labels: list[float] = []
    for example, scaled in islice(labelled(request), 0, None, step):
        request.progress(f"{len(labels)} answers")
        try:
            answers.append(asking.answer(example.facts, f"video {example.video_id}"))
        except JudgeFailed as error:
            request.note("judge_failed", {"video_id": example.video_id, "message": str(error)})
        else:
            labels.append(scaled)
    if len(labels) < LEAST_ANSWERS:
        raise NothingToTrain(
            f"the judge gave {len(labels)} answers; what they are worth in views is learned from "
            f"{LEAST_ANSWERS} or more"
        )
    y = np.array(labels)
    known, counts = np.unique(np.array(answers, dtype=np.float64), return_counts=True)
    place = (np.cumsum(counts) - counts / 2) / len(y)
    x = np.interp(answers, known, place) - 0.5
    # One answer for all of them tells nothing, and neither do answers that go the wrong way.
    slope = max(0.0, float(x @ (y - y.mean()))) / max(float(x @ x) * (1 + PRIOR / len(y)), 1e-9)
    network = Judge(replace(config, n_known=len(known)))
    network.known.copy_(torch.from_numpy(known))
    network.place.copy_(torch.from_numpy(place))
    network.line.copy_(torch.tensor([float(y.mean()), slope], dtype=torch.float64))
    request.note("judge_asked", {**asking.counts(), "n_answers": len(y), "slope": slope})
    return network.eval()


def sample_step(n_rows: int, at_most: int) -> int:
    """Every which of n rows is asked of, so that there are at most so many."""
    return max(1, -(-n_rows // at_most))
