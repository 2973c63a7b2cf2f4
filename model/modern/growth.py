"""How counts grow with the age they were seen at: what labels of unequal age are freed of.

A nuisance and no input: nobody knows of a new post when its count will be looked at. The labels
are taken to the stated age, the horizon, before anyone learns from them, and a forecast of another
age is taken back from there.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import nnls
from torch import Tensor, nn

from model.modern.config import ModernConfig

if TYPE_CHECKING:
    from model.modern.table import Table

#: The 90th percentile of the labels' ages over the 10th, above which they are unequal.
UNEQUAL: Final = 1.5
#: Two ages that differ by less, in ln, tell nothing of growth.
APART: Final = 0.2
#: Share of posts, each beside the next one in time, whose ages have to be so far apart.
LEAST_APART: Final = 0.2
FEWEST_ROWS: Final = 100  # of which growth can be told at all
SEGMENTS: Final = 4
SPAN_ROWS: Final = 20  # posts of about the same time, that are compared with each other alone
PENALTY: Final = 100.0  # rows that a column of the post counts for, as nothing
GROWTH_PENALTY: Final = 5.0
PAGE: Final = SPAN_ROWS * 200
Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


class Growth(nn.Module):
    """Growth up to an age beside that up to the horizon, on the target's scale, never falling.

    knots (K,): ln of ages in seconds, ascending; heights (K,): the growth there. Between them it
    is straight; beyond the ages of training it does not go on.
    """

    knots: Tensor
    heights: Tensor

    def __init__(self, n_knots: int) -> None:
        super().__init__()
        self.register_buffer("knots", torch.zeros(n_knots, dtype=torch.float64))
        self.register_buffer("heights", torch.zeros(n_knots, dtype=torch.float64))

    def read(self, ages_s: Sequence[float | None] | Floats) -> Floats:
        """(n,) of ages in seconds; 0, that of the horizon, where an age is None or NaN."""
        log_ages = log_age(np.array(ages_s, dtype=np.float64))
        grown = np.interp(log_ages, self.knots.numpy(), self.heights.numpy())
        return np.where(np.isnan(log_ages), 0.0, grown)


def log_age(ages_s: Floats) -> Floats:
    """ln of ages in seconds; NaN where one is not known, or seen before it was posted."""
    return np.log(np.where(ages_s >= 1, ages_s, np.nan))


def unequal_ages(table: "Table", config: ModernConfig) -> dict[str, object]:
    """Whether the labels' ages are a nuisance that can be told apart, and by what.

    With one date of looking the age says the same as the time of posting, and nobody can tell
    growth from a change of the times: posts of the same time have to have been seen at other ages.
    """
    train = ~table.is_val & np.isfinite(table.posted)
    ages = log_age(table.ages[train])  # oldest post first, as the table is
    ages = ages[~np.isnan(ages)]
    said: dict[str, object] = {"used": False, "rows": len(ages)}
    if config.age == "ignore":
        return said | {"why": "ignored"}
    if not table.log_scale[1]:
        return said | {"why": "not of ln(1 + views)"}
    if len(ages) < FEWEST_ROWS:
        return said | {"why": "too few ages known"}
    low, high = np.quantile(ages, (0.1, 0.9))
    apart = float((np.abs(np.diff(ages)) > APART).mean())
    said |= {"p90_over_p10": float(np.exp(high - low)), "apart": apart}
    if high - low <= np.log(UNEQUAL):
        return said | {"why": "ages are alike"}
    if apart < LEAST_APART:
        return said | {"why": "age and time of posting say the same"}
    return said | {"used": True}


def fit_growth(table: "Table", config: ModernConfig) -> tuple[Growth, int]:
    """Growth by the training rows, and the horizon in seconds.

    Posts of about the same time are compared, what else is known of each being allowed for. The
    horizon is the age that was asked for, within the middle 90 % of the labels' ages.
    """
    rows = np.flatnonzero(~table.is_val & np.isfinite(table.posted) & (table.ages >= 1))
    ages = log_age(table.ages[rows])
    knots = np.unique(np.quantile(ages, np.linspace(0.05, 0.95, SEGMENTS + 1)))
    steps = _steps(ages, knots)
    n_steps = steps.shape[1]
    size = n_steps + table.x.shape[1]
    products, with_labels = np.zeros((size, size)), np.zeros(size)
    for at in range(0, len(rows), PAGE):
        some = rows[at : at + PAGE]
        beside = table.x[some].astype(np.float64)
        known = _within_spans(np.concatenate((steps[at : at + PAGE], beside), axis=1))
        labels = _within_spans(table.labels[some, None])[:, 0]
        products += known.T @ known
        with_labels += known.T @ labels
    penalties = np.where(np.arange(size) < n_steps, GROWTH_PENALTY, PENALTY)
    products += np.diag(penalties)
    # What the post itself tells is solved for; what is left of the steps has to be 0 or more.
    step, other = slice(None, n_steps), slice(n_steps, None)
    told = np.linalg.solve(products[other, other], products[other, step]).T
    left = products[step, step] - told @ products[other, step]
    root = np.linalg.cholesky(left)
    wanted = np.linalg.solve(root, with_labels[step] - told @ with_labels[other])
    heights = np.r_[0.0, np.cumsum(nnls(root.T, wanted)[0])]
    horizon = float(np.clip(np.log(config.forecast_age_s), knots[0], knots[-1]))
    growth = Growth(len(knots))
    growth.knots.copy_(torch.from_numpy(knots))
    growth.heights.copy_(torch.from_numpy(heights - np.interp(horizon, knots, heights)))
    return growth, round(np.exp(horizon))


def _steps(ages: Floats, knots: Floats) -> Floats:
    """How much of the way between each knot and the next was gone at each age, (n, knots - 1)."""
    gone = (ages[:, None] - knots[:-1]) / np.diff(knots)
    return np.clip(gone, 0.0, 1.0)


def _within_spans(columns: Floats) -> Floats:
    """Columns (n, k) less their means over each SPAN_ROWS rows."""
    span = np.arange(len(columns)) // SPAN_ROWS
    starts = np.arange(0, len(columns), SPAN_ROWS)
    means = np.add.reduceat(columns, starts, axis=0) / np.bincount(span)[:, None]
    within: Floats = columns - means[span]
    return within
