"""What a good analyst would build in an afternoon, on the same rows and inputs as the models here.

LightGBM and a ridge regression, blended as the validation rows say: numbers of the post, hour and
weekday, TF-IDF of words and characters (whole for the ridge, 64 directions for the trees), tags, a
ridge on n-grams out of fold as one column, what the author's earlier posts got, and what is known
of the account. It is a yardstick and no part of viewcast: `bench.collections` sets the two side by
side.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import lightgbm
import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import Ridge
from sklearn.model_selection import GroupKFold
from sklearn.preprocessing import StandardScaler

from catalog.facts import KnownAccount, PastPost
from model.batches import Example

N_DIRECTIONS, N_TAGS, N_FOLDS = 64, 100, 5
ALPHAS: Final = (3.0, 10.0, 30.0, 100.0, 300.0)
WEIGHTS: Final = np.linspace(0, 1, 11)  # of the trees in the blend
LAST: Final = (5, 20)
DATE: Final = 12  # its place among the numbers
PRIOR: Final = 3.0
TREES: Final[dict[str, Any]] = {
    "n_estimators": 500,
    "learning_rate": 0.03,
    "num_leaves": 31,
    "min_child_samples": 20,
    "subsample": 0.8,
    "subsample_freq": 1,
    "colsample_bytree": 0.4,
    "reg_lambda": 3.0,
    "verbose": -1,
    "n_jobs": 1,
    "deterministic": True,
    "force_row_wise": True,
}
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Inputs:
    """What the analyst reads beside the post itself.

    history: what the author's posts got that were known at the time, also those held out; else of
    the training rows alone. account: followers and the like, and how often the sound is used.
    """

    history: bool = True
    account: bool = True


def log_views(rows: Iterable[Example]) -> Floats:
    """ln(1 + views) of labelled rows, (n,)."""
    return np.log1p([1_000 * (row.views_k or 0.0) for row in rows])


def forecast(
    train: Sequence[Example],
    val: Sequence[Example],
    new: Sequence[Example],
    past: Sequence[PastPost],
    inputs: Inputs = Inputs(),
    seed: int = 0,
) -> Floats:
    """ln(1 + views) of the new rows, from a fit on train and val; val chooses the blend."""
    known = {row.video_id for row in (*train, *val)}
    if not inputs.history:
        past = [post for post in past if post.video_id in known]
    weight, alpha = 0.5, 30.0
    if len(val) >= 20:
        trees, ridges = _fitted(train, val, past, inputs, seed, ALPHAS)
        truth = log_views(val)
        alpha = min(ridges, key=lambda a: float(np.abs(truth - ridges[a]).mean()))
        blends = [
            float(((truth - w * trees - (1 - w) * ridges[alpha]) ** 2).mean()) for w in WEIGHTS
        ]
        weight = float(WEIGHTS[int(np.argmin(blends))])
    trees, ridges = _fitted([*train, *val], new, past, inputs, seed, (alpha,))
    return weight * trees + (1 - weight) * ridges[alpha]


def _fitted(
    train: Sequence[Example],
    new: Sequence[Example],
    past: Sequence[PastPost],
    inputs: Inputs,
    seed: int,
    alphas: Sequence[float],
) -> tuple[Floats, dict[float, Floats]]:
    """Forecasts of the new rows by the trees, and by a ridge of each strength."""
    truth = log_views(train)
    middle = float(truth.mean())
    history = _History(past, middle)
    numbers, new_numbers = (
        np.array([_numbers(row, inputs) + history.before(row) for row in rows])
        for rows in (train, new)
    )
    tags = Counter(tag for row in train for tag in row.facts.hashtags)
    tagged, new_tagged = (_tagged(rows, tags) for rows in (train, new))
    grams = [TfidfVectorizer(analyzer="word", ngram_range=(1, 2), min_df=2, sublinear_tf=True,
                             token_pattern=r"(?u)\S+", max_features=60_000),
             TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 5), min_df=3, sublinear_tf=True,
                             max_features=60_000)]  # fmt: skip
    texts, new_texts = ([_text(row) for row in rows] for rows in (train, new))
    if any(text.strip() for text in texts):
        grammed = sparse.hstack([gram.fit_transform(texts) for gram in grams]).tocsr()
        new_grammed = sparse.hstack([gram.transform(new_texts) for gram in grams]).tocsr()
        svd = TruncatedSVD(
            min(N_DIRECTIONS, grammed.shape[1] - 1, len(train) - 1), random_state=seed
        )
        directions, new_directions = svd.fit_transform(grammed), svd.transform(new_grammed)
        told, new_told = _out_of_fold(grammed, truth, new_grammed, train)
    else:
        grammed, new_grammed = (sparse.csr_matrix((len(rows), 0)) for rows in (train, new))
        directions, new_directions = np.zeros((len(train), 0)), np.zeros((len(new), 0))
        told, new_told = np.zeros(len(train)), np.zeros(len(new))
    model = lightgbm.LGBMRegressor(random_state=seed, **TREES)
    model.fit(np.column_stack([numbers, tagged, directions, told]), truth)
    trees = model.predict(np.column_stack([new_numbers, new_tagged, new_directions, new_told]))
    plain = StandardScaler()
    # No date for a straight line, which would go on beyond the rows that it was drawn through.
    dense = plain.fit_transform(np.nan_to_num(np.delete(numbers, DATE, axis=1)))
    new_dense = plain.transform(np.nan_to_num(np.delete(new_numbers, DATE, axis=1))).clip(-5, 5)
    # Numbers weigh more than single n-grams, or a ridge would spread what they tell.
    wide = sparse.hstack([sparse.csr_matrix(dense * 0.3), grammed]).tocsr()
    new_wide = sparse.hstack([sparse.csr_matrix(new_dense * 0.3), new_grammed]).tocsr()
    ridges = {}
    for alpha in alphas:
        ridge = Ridge(alpha / 10, solver="sparse_cg" if grammed.shape[1] else "auto", tol=1e-4)
        ridges[alpha] = middle + ridge.fit(wide, truth - middle).predict(new_wide)
    return np.asarray(trees, dtype=np.float64), ridges


def _numbers(row: Example, inputs: Inputs) -> list[float]:
    facts = row.facts
    posted = facts.posted_at
    hour = np.nan if posted is None else posted.hour + posted.minute / 60
    found = [
        np.log1p(_number(facts.duration_s)),
        _number(facts.width_px) / max(1.0, _number(facts.height_px)),
        float(len(facts.caption)),
        float(len(facts.caption.split())),
        float(len(facts.hashtags)),
        float(sum(map(len, facts.hashtags))),
        float(facts.caption.count("@")),
        float(sum(ord(character) > 0x2190 for character in facts.caption)),
        hour,
        np.sin(hour * np.pi / 12),
        np.cos(hour * np.pi / 12),
        np.nan if posted is None else float(posted.weekday()),
        np.nan if posted is None else posted.timestamp() / 86_400,
        _number(facts.is_sound_original),
        _number(facts.speech_s),
        np.nan if facts.transcript is None else float(len(facts.transcript)),
        np.nan if facts.screen is None else float(len(facts.screen)),
    ]
    if inputs.account:
        account = facts.account or KnownAccount()
        followers, posts = (
            np.log1p(_number(account.n_followers)),
            np.log1p(_number(account.n_posts)),
        )
        found += [
            followers, np.log1p(_number(account.n_following)), posts, followers - posts,
            _number(account.is_verified), _number(account.bio_chars),
            np.log1p(_number(facts.n_sound_videos)),
        ]  # fmt: skip
    return [float(value) for value in found]


def _number(value: float | None) -> float:
    return np.nan if value is None else float(value)


def _text(row: Example) -> str:
    facts = row.facts
    tags = " ".join(f"#{tag}" for tag in facts.hashtags)
    return " ".join((facts.caption, tags, facts.transcript or "", facts.screen or "")).lower()


def _tagged(rows: Sequence[Example], tags: Counter[str]) -> Floats:
    """Which of the frequent hashtags, and how frequent the post's are."""
    place = {tag: at for at, (tag, n) in enumerate(tags.most_common(N_TAGS)) if n >= 5}
    found = np.zeros((len(rows), len(place) + 2))
    for row, line in zip(rows, found, strict=True):
        counts = [np.log1p(tags[tag]) for tag in row.facts.hashtags]
        line[-2:] = (np.mean(counts), max(counts)) if counts else (np.nan, np.nan)
        for tag in row.facts.hashtags:
            if tag in place:
                line[place[tag]] = 1
    return found


def _out_of_fold(
    grammed: Any, truth: Floats, new_grammed: Any, train: Sequence[Example]
) -> tuple[Floats, Floats]:
    """A ridge on n-grams: of each training row by folds without its author, of new ones by all."""
    groups = [f"{row.facts.author}" if row.facts.author else f"v{row.video_id}" for row in train]
    if len(set(groups)) < N_FOLDS:  # one creator: by time
        groups = [str(at * 2 * N_FOLDS // len(train)) for at in range(len(train))]
    told = np.zeros(len(truth))
    for rest, out in GroupKFold(N_FOLDS).split(grammed, truth, groups):
        told[out] = _ridge(grammed[rest], truth[rest], grammed[out])
    return told, _ridge(grammed, truth, new_grammed)


def _ridge(known: Any, truth: Floats, new: Any) -> Floats:
    middle = truth.mean()
    fitted = Ridge(3.0, solver="sparse_cg", tol=1e-3).fit(known, truth - middle)
    return np.asarray(middle + fitted.predict(new))


class _History:
    """What the author's, and the sound's, earlier posts got that were known at the time."""

    def __init__(self, past: Sequence[PastPost], middle: float) -> None:
        self.middle = middle
        self.of_author: dict[int, list[PastPost]] = defaultdict(list)
        self.of_sound: dict[int, list[PastPost]] = defaultdict(list)
        for post in sorted(past, key=lambda post: post.known_at):
            if post.author is not None:
                self.of_author[post.author].append(post)
            if post.sound is not None:
                self.of_sound[post.sound].append(post)

    def before(self, row: Example) -> list[float]:
        """Shrunk means of all, the last 5 and 20; the last, how many, days since; of the sound."""
        facts = row.facts
        mine = _known(self.of_author.get(facts.author or -1, []), row)
        sound = _known(self.of_sound.get(facts.sound or -1, []), row)
        logs = np.log1p([1_000 * post.views_k for post in mine])
        found = [self._shrunk(logs), *(self._shrunk(logs[-n:]) for n in LAST)]
        found += [float(logs[-1]) if len(mine) else np.nan, np.log1p(len(mine))]
        days = np.nan
        if mine and facts.posted_at is not None:
            days = np.log1p((facts.posted_at - mine[-1].posted_at).total_seconds() / 86_400)
        heard = np.log1p([1_000 * post.views_k for post in sound])
        return [*found, float(days), self._shrunk(heard), np.log1p(len(sound))]

    def _shrunk(self, logs: Floats) -> float:
        return float((logs.sum() + PRIOR * self.middle) / (len(logs) + PRIOR))


def _known(posts: Sequence[PastPost], row: Example) -> list[PastPost]:
    now = row.facts.posted_at
    return [p for p in posts if now is not None and p.known_at < now and p.video_id != row.video_id]
