"""Say whether one forecaster is better than another, in a way that luck does not earn.

A pure rule, which every room may use.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from catalog.facts import IN_SAMPLE

Verdict = Literal["better", "worse", "no evidence", "in sample"]

#: With fewer rows a difference between two errors is mostly which rows they are.
MIN_EVIDENCE = 30
#: A difference of less than this share of the worse one's error counts for nothing.
LEAST_GAIN = 0.01


@dataclass(frozen=True, slots=True)
class Paired:
    """An error of one forecaster beside a rival's on the same rows; None: not known.

    low, high: the 95 % interval, drawn by author, of its own error minus the rival's.
    """

    own: float | None
    rival: float | None
    low: float | None
    high: float | None

    def is_better(self, least_gain: float) -> bool:
        """Whether luck does not explain that its own error is smaller, by as much as counts."""
        if self.own is None or self.rival is None or self.low is None or self.high is None:
            return False
        # Said so that NaN fails. Of the larger of the two, that is of the worse one's error: so the
        # one is better exactly where the other is worse.
        is_sure = self.low <= self.high < 0
        return is_sure and self.rival - self.own >= least_gain * max(self.own, self.rival)

    def turned(self) -> "Paired":
        """The same, seen by the rival."""
        low, high = (None if end is None else -end for end in (self.high, self.low))
        return Paired(self.rival, self.own, low, high)


def verdict_of(
    pairs: Sequence[Paired],
    *,
    n: float,
    part: str,
    spearman_low: float | None = None,
    is_rival_a_model: bool = False,
    least_gain: float = LEAST_GAIN,
) -> Verdict:
    """Say whether a forecaster is better than its rivals, in a way that luck does not earn.

    The one rule of the leaderboard, the report, `compare`, Table I and the forecast card, which
    differ only in whom and by what they compare. pairs: one for each rival that counts. "better"
    asks of each that the interval is below zero and the gain at least `least_gain` of the rival's
    error; and that spearman_low, the low end of the forecaster's own rank correlation, is above 0.
    Without that a forecast of about one number for all is "better" than a constant by standing
    nearer to the level of other rows, which is no skill. It is not asked where the rival is a model
    (is_rival_a_model): there the word says which of two forecasts is nearer, and the same must
    follow whichever is named first. "worse" asks for the opposite of every interval and for as
    large a loss. What is missing, no number or zero is no evidence, nor are fewer rows than
    MIN_EVIDENCE. What a model was trained on tells nothing.
    """
    if part == IN_SAMPLE:
        return "in sample"
    if not n >= MIN_EVIDENCE or not pairs:
        return "no evidence"
    is_ranking = is_rival_a_model or (spearman_low is not None and spearman_low > 0)
    if is_ranking and all(pair.is_better(least_gain) for pair in pairs):
        return "better"
    if all(pair.turned().is_better(least_gain) for pair in pairs):
        return "worse"
    return "no evidence"
