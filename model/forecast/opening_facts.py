"""Plain facts of a clip's opening, and whether in this catalog they go with views at all.

It is an association among videos that the model had not seen, never a cause.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri
from scipy.stats import rankdata

Floats = NDArray[np.float64]
Finding = Literal["more", "fewer", "no effect found", "too few"]
#: Of what the numbers are compared with: by how much the views missed the forecast, or the views.
Against = Literal["forecast", "views"]

FEWEST_ROWS: Final = 100
#: Draws of so few authors tell nothing of how much another draw would differ.
FEWEST_AUTHORS: Final = 20
DRAWS: Final = 1_000
LEVEL: Final = 0.95


@dataclass(frozen=True)
class Fact:
    """One number of an opening. kind, name: which feature's detail has it. words: for people."""

    kind: str
    name: str
    words: str
    unit: str = ""


#: What a person who cuts a clip can see, hear and change.
FACTS: Final = (
    Fact("opening", "opening_cuts", "cuts in the opening"),
    Fact("opening", "first_cut_s", "first cut", "s"),
    Fact("opening", "opening_motion_levels", "motion in the opening", "levels"),
    Fact("opening", "opening_still_share", "share of the opening that stands still"),
    Fact("opening", "opening_brightness_levels", "brightness of the opening", "levels"),
    Fact("opening", "opening_colourfulness_levels", "colourfulness of the opening", "levels"),
    Fact("opening", "opening_sharpness_levels", "sharpness of the opening", "levels"),
    Fact("opening", "loudness_0ms_lufs", "loudness at the very start", "LUFS"),
    Fact("opening", "opening_silence_share", "share of the opening that is silent"),
    Fact("opening", "opening_onsets_per_s", "beats and bangs in the opening", "per s"),
    Fact("audio", "first_word_s", "first word", "s"),
    Fact("ocr", "share", "most text on screen at once, share of the picture"),
)


@dataclass(frozen=True)
class Association:
    """How a fact goes with views in this catalog, over n videos of n_authors.

    correlation: of ranks; low, high: its interval, which holds with 95 % for all facts together.
    None where there are too few videos or authors, or all are alike.
    """

    finding: Finding
    n: int
    n_authors: int
    correlation: float | None = None
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Measured:
    """A fact of one clip. percentile: among the catalog's; None where those are too few."""

    fact: Fact
    value: float
    percentile: float | None
    association: Association


@dataclass(frozen=True)
class OpeningTable:
    """The facts of videos that the model had not seen, NaN where one is not known.

    numbers (n, len(FACTS)); outcome (n,): by how much the views were above the forecast on the
    log scale, or, against "views", the log of the views; authors: None where nobody is named.
    """

    numbers: Floats
    outcome: Floats
    authors: tuple[int | None, ...]
    against: Against

    @cached_property
    def told(self) -> "list[Association]":
        """How each fact goes with the outcome: asked of each clip, and drawn for all of them."""
        return associations(self)


def numbers_of(details: Mapping[str, Mapping[str, object]]) -> Floats:
    """The facts in what the extractors told of one video, by kind; (len(FACTS),), NaN: not told."""
    found = [details.get(fact.kind, {}).get(fact.name) for fact in FACTS]
    return np.array(
        [float(one) if isinstance(one, int | float) else np.nan for one in found], dtype=np.float64
    )


def opening_of(numbers: Floats, table: OpeningTable) -> tuple[Measured, ...]:
    """What one clip's numbers are beside those of the table; what it lacks is left out."""
    found = table.told
    measured = []
    for at in np.flatnonzero(np.isfinite(numbers)):
        percentile = _percentile(float(numbers[at]), table.numbers[:, at])
        measured.append(Measured(FACTS[at], float(numbers[at]), percentile, found[at]))
    return tuple(measured)


def _percentile(value: float, others: Floats) -> float | None:
    others = others[np.isfinite(others)]
    if len(others) < FEWEST_ROWS:
        return None
    return float(100 * ((others < value).mean() + (others == value).mean() / 2))


def associations(table: OpeningTable, *, seed: int = 0) -> list[Association]:
    """How each fact goes with the outcome.

    The intervals are those of draws of whole authors, wide enough for as many facts as there are
    (Bonferroni): of twelve that mean nothing, one is called an effect in one catalog of twenty.
    """
    n_facts = table.numbers.shape[1]
    group = _groups(table.authors)
    known = np.isfinite(table.numbers) & np.isfinite(table.outcome)[:, None]
    sums = np.stack(
        [_sums(table.numbers[:, at], table.outcome, group, known[:, at]) for at in range(n_facts)],
        axis=1,
    )
    correlation = _correlations(sums.sum(axis=0))
    generator = np.random.default_rng(seed)
    # Weights in place of draws, which come to the same. The ranks stay: where there is no
    # correlation, ranking anew in each draw changes nothing.
    drawn = np.stack(
        [
            _correlations(np.tensordot(generator.poisson(1.0, len(sums)), sums, axes=1))
            for _ in range(DRAWS)
        ]
    )
    z = float(ndtri(1 - (1 - LEVEL) / (2 * n_facts)))
    half = z * np.nan_to_num(drawn).std(axis=0, ddof=1)
    return [
        _association(int(known[:, at].sum()), len(np.unique(group[known[:, at]])), rho, width)
        for at, (rho, width) in enumerate(zip(correlation.tolist(), half.tolist(), strict=True))
    ]


def _association(n: int, n_authors: int, correlation: float, half: float) -> Association:
    if n < FEWEST_ROWS or n_authors < FEWEST_AUTHORS:
        return Association("too few", n, n_authors)
    if not np.isfinite(correlation):  # all are alike
        return Association("no effect found", n, n_authors)
    low, high = correlation - half, correlation + half
    finding: Finding = "more" if low > 0 else "fewer" if high < 0 else "no effect found"
    return Association(finding, n, n_authors, correlation, max(low, -1.0), min(high, 1.0))


def _sums(
    numbers: Floats, outcome: Floats, group: NDArray[np.int64], known: NDArray[np.bool_]
) -> Floats:
    """Of each author's rows n, Σx, Σy, Σx², Σy², Σxy of their ranks, which have mean 0; (G, 6)."""
    first, second = (_centred(values[known]) for values in (numbers, outcome))
    columns = (np.ones(len(first)), first, second, first**2, second**2, first * second)
    size = int(group.max(initial=-1)) + 1
    return np.stack([np.bincount(group[known], one, minlength=size) for one in columns], axis=1)


def _centred(values: Floats) -> Floats:
    ranks: Floats = rankdata(values) - (len(values) + 1) / 2
    return ranks


def _groups(authors: Sequence[int | None]) -> NDArray[np.int64]:
    """A number for each author, and one of its own for whoever is not named."""
    places: dict[object, int] = {}
    keys = [(at, None) if author is None else author for at, author in enumerate(authors)]
    return np.array([places.setdefault(key, len(places)) for key in keys], dtype=np.int64)


def _correlations(sums: Floats) -> Floats:
    """Pearson's, of rows of (n, Σx, Σy, Σx², Σy², Σxy)."""
    n, x, y, xx, yy, xy = sums.T
    with np.errstate(divide="ignore", invalid="ignore"):  # NaN where all are alike
        found: Floats = (xy - x * y / n) / np.sqrt((xx - x * x / n) * (yy - y * y / n))
    return found
