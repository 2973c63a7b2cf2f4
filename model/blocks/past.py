"""What earlier posts of the same author, with the same sound and hashtags got, up to each moment.

Every post of the past enters once, with a moment from which its count may be known (PastPost). A
row asks what was known strictly before it was posted, in training as at scoring, so that its own
count and all that came later are out of its reach.
"""

import hashlib
import math
import zlib
from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import numpy as np
from numpy.typing import NDArray

from catalog.facts import PastPost

#: Columns of each block of history. What posts got is ln(1 + views) less the catalog's level when
#: they were posted; the level itself is ln(1 + views) of recent posts of everybody.
LEVEL_NAMES: Final = ("level", "level_trend")
AUTHOR_NAMES: Final = (
    "mean",
    "recent_3",
    "recent_20",
    "last",
    "spread",
    "log_posts",
    "log_days_since",
    "log_posts_30_days",
)
SOUND_NAMES: Final = ("mean", "recent_10", "log_posts", "log_days_since")
TAGS_NAMES: Final = ("mean", "highest", "weighted", "share_known", "log_fewest_posts")
BLOCKS: Final = {
    "level": LEVEL_NAMES,
    "author": AUTHOR_NAMES,
    "sound_past": SOUND_NAMES,
    "tags_past": TAGS_NAMES,
}
COLUMNS: Final = tuple(f"{block} {name}" for block, names in BLOCKS.items() for name in names)

MOST_POSTS: Final = 200_000  # newest ones that are kept: memory does not grow with the catalog
LEVEL: Final = 150  # posts of everybody over which recent ones outweigh old ones
TREND: Final = 30
GRID: Final = 512  # moments at which a model remembers the level
DAY_S: Final = 86_400
_TIME_BITS: Final = 34  # seconds since 1970 until the year 2514
_PRIOR: Final = {"author": 3.0, "sound": 5.0, "tags": 5.0}
Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


def place_of(block: str) -> slice:
    """Where the columns of a block of history stand."""
    start = 0
    for name, names in BLOCKS.items():
        if name == block:
            return slice(start, start + len(names))
        start += len(names)
    raise KeyError(block)


@dataclass(frozen=True)
class Asked:
    """What a row is asked by: its author, sound and hashtags, and the moment of the post."""

    author: int | None
    sound: int | None
    hashtags: Sequence[str]
    posted_at: datetime | None


@dataclass(frozen=True)
class _State:
    """Of n questions about one key each: what was known; n 0 where nothing was, the rest NaN then.

    n, total, squares, last, last_posted_s (n,); recent: sum and weight, by length.
    """

    n: Ints
    total: Floats
    squares: Floats
    last: Floats
    last_posted_s: Floats
    recent: dict[int, tuple[Floats, Floats]]


class _ByKey:
    """Counts by key and the moment they are known from, with sums up to each of them."""

    def __init__(
        self, keys: Ints, known_s: Ints, posted_s: Ints, values: Floats, lengths: Sequence[int]
    ) -> None:
        """keys: dense numbers from 0. lengths: posts over which recent ones outweigh old ones."""
        order = np.lexsort((posted_s, known_s, keys))
        keys, values = keys[order], values[order]
        self.at = (keys << _TIME_BITS) | known_s[order]
        self.values, self.posted_s = values, posted_s[order]
        first = np.r_[True, keys[1:] != keys[:-1]][: len(keys)]
        self.total = _faded(values, first)
        self.squares = _faded(np.square(values), first)
        place = np.arange(len(keys)) - np.maximum.accumulate(
            np.where(first, np.arange(len(keys)), 0)
        )
        self.recent = {
            length: (
                _faded(values, first, 1 - 1 / length),
                length * (1 - (1 - 1 / length) ** (place + 1)),  # of as many ones
            )
            for length in lengths
        }

    def ask(self, keys: Ints, before_s: Ints) -> _State:
        """What was known of each key strictly before a moment, nothing before one below 0.

        Keys below 0 are unknown.
        """
        base = np.maximum(keys, 0) << _TIME_BITS
        start = np.searchsorted(self.at, base)
        stop = np.searchsorted(self.at, base | np.maximum(before_s, 0))
        n = np.where(keys < 0, 0, stop - start)
        if not len(self.at):
            nothing = np.full(len(keys), np.nan)
            nowhere = dict.fromkeys(self.recent, (nothing, nothing))
            return _State(n, nothing, nothing, nothing, nothing, nowhere)
        at = np.maximum(stop - 1, 0)

        def of(values: NDArray[np.generic]) -> Floats:
            return np.where(n > 0, values[at].astype(np.float64), np.nan)

        recent = {
            length: (of(total), of(weight)) for length, (total, weight) in self.recent.items()
        }
        return _State(
            n, of(self.total), of(self.squares), of(self.values), of(self.posted_s), recent
        )


class Histories:
    """Posts of the past, by author, sound and hashtag; asked for the columns of a row.

    It holds the newest MOST_POSTS of what it is given, in some hundred bytes each.
    """

    def __init__(self, posts: Iterable[PastPost], levels: Floats | None = None) -> None:
        """levels: of all posts, as `level_grid` gives them, where these are only some."""
        kept = _newest(posts)
        authors, sounds = kept.authors, kept.sounds
        self._authors, author = _numbered(authors)
        self._sounds, sound = _numbered(sounds)
        values, known_s, posted_s = kept.values, kept.known_s, kept.posted_s
        everyone = np.zeros(len(values), dtype=np.int64)
        self._all = _ByKey(everyone, known_s, posted_s, values, (TREND, LEVEL))
        values = values - self._levels(posted_s, known_s, values, levels)
        has = authors >= 0
        self._by_author = _ByKey(author[has], known_s[has], posted_s[has], values[has], (3, 20))
        has = sounds >= 0
        self._by_sound = _ByKey(sound[has], known_s[has], posted_s[has], values[has], (10,))
        of_post = np.repeat(np.arange(len(values)), kept.n_tags)
        self._tags, tag = _numbered(kept.tags)
        self._by_tag = _ByKey(tag, known_s[of_post], posted_s[of_post], values[of_post], (50,))
        order = np.argsort(kept.video_ids, kind="stable")
        self._video_ids = kept.video_ids[order]
        self._known_s, self._apart = known_s[order], values[order]
        self._values = kept.values[order]

    def __len__(self) -> int:
        return len(self._values)

    def sha256(self) -> str:
        """Hash of what each post got, and from when it may be known."""
        digest = hashlib.sha256()
        for column in (self._video_ids, self._known_s, self._values):
            digest.update(column.tobytes())
        return digest.hexdigest()

    def known(self, video_ids: Sequence[int] | Ints) -> tuple[Ints, Floats]:
        """Seconds from which each video's count may be known, and what it got; -1, NaN: never."""
        at, found = self._places(video_ids)
        if not len(self._video_ids):
            return np.full(len(at), -1), np.full(len(at), np.nan)
        return (
            np.where(found, self._known_s[at], -1),
            np.where(found, self._apart[at], np.nan),
        )

    def counted(self, video_ids: Sequence[int] | Ints) -> Floats:
        """ln(1 + views) of each video as they may be known, the level in it; NaN: never."""
        at, found = self._places(video_ids)
        if not len(self._video_ids):
            return np.full(len(at), np.nan)
        return np.where(found, self._values[at], np.nan)

    def _places(self, video_ids: Sequence[int] | Ints) -> tuple[Ints, NDArray[np.bool_]]:
        wanted = np.asarray(video_ids, dtype=np.int64)
        if not len(self._video_ids):
            return np.zeros(len(wanted), dtype=np.int64), np.zeros(len(wanted), dtype=np.bool_)
        at = np.minimum(np.searchsorted(self._video_ids, wanted), len(self._video_ids) - 1)
        return at, self._video_ids[at] == wanted

    def level_grid(self) -> Floats:
        """Seconds at which posts were made, GRID of them, and the level then; (2, GRID)."""
        if not len(self._values):
            return np.zeros((2, GRID))
        times = np.quantile(self._all.posted_s, np.linspace(0, 1, GRID)).astype(np.int64)
        told = _mean(self._all.ask(np.zeros(GRID, np.int64), times).recent[LEVEL])
        known = told[~np.isnan(told)]
        first = known[0] if len(known) else float(self._values.mean())
        return np.stack((times.astype(np.float64), np.where(np.isnan(told), first, told)))

    def _levels(
        self, posted_s: Ints, known_s: Ints, values: Floats, older: Floats | None
    ) -> Floats:
        """Level of the catalog when each post was made; of the first ones that of the first known.

        Whoever may know any post at all may know that one.
        """
        if not len(values):
            return values
        told = _mean(self._all.ask(np.zeros(len(values), np.int64), posted_s).recent[LEVEL])
        first = float(values[known_s == known_s.min()].mean())
        here = np.where(np.isnan(told), first, told)
        if older is None or not older.any():
            return here
        return np.where(posted_s <= older[0, -1], np.interp(posted_s, *older), here)

    def columns(self, rows: Sequence[Asked]) -> NDArray[np.float32]:
        """COLUMNS of each row, NaN where nothing was known; (n, columns)."""
        before_s = np.array(
            [-1 if r.posted_at is None else math.floor(r.posted_at.timestamp()) for r in rows],
            dtype=np.int64,
        )
        general = self._all.ask(np.zeros(len(rows), np.int64), before_s)
        level = _mean(general.recent[LEVEL])
        trend = _mean(general.recent[TREND]) - level
        asked_authors = np.array([-1 if r.author is None else r.author for r in rows])
        asked_sounds = np.array([-1 if r.sound is None else r.sound for r in rows])
        author = _number_of(self._authors, asked_authors)
        sound = _number_of(self._sounds, asked_sounds)
        parts = [
            np.stack((level, trend), axis=1),
            self._author(author, before_s),
            self._sound(sound, before_s),
            self._hashtags(rows, before_s),
        ]
        return np.concatenate(parts, axis=1).astype(np.float32)

    def _author(self, keys: Ints, before_s: Ints) -> Floats:
        told = self._by_author.ask(keys, before_s)
        month_ago = self._by_author.ask(keys, before_s - 30 * DAY_S)
        n = told.n
        mean = told.total / np.maximum(n, 1)
        spread = np.sqrt(np.maximum(told.squares / np.maximum(n, 1) - np.square(mean), 0))
        prior = _PRIOR["author"]
        columns = (
            told.total / (n + prior),
            _shrunk(told.recent[3], 1.0),
            _shrunk(told.recent[20], 2.0),
            told.last,
            np.where(n > 1, spread, np.nan),
            np.where(n > 0, np.log1p(n), np.nan),
            _log_days(before_s, told.last_posted_s),
            np.where(n > 0, np.log1p(np.maximum(n - month_ago.n, 0)), np.nan),
        )
        return np.stack(columns, axis=1)

    def _sound(self, keys: Ints, before_s: Ints) -> Floats:
        told = self._by_sound.ask(keys, before_s)
        prior = _PRIOR["sound"]
        columns = (
            told.total / (told.n + prior),
            _shrunk(told.recent[10], 2.0),
            np.where(told.n > 0, np.log1p(told.n), np.nan),
            _log_days(before_s, told.last_posted_s),
        )
        return np.stack(columns, axis=1)

    def _hashtags(self, rows: Sequence[Asked], before_s: Ints) -> Floats:
        found = np.full((len(rows), len(TAGS_NAMES)), np.nan)
        tags = [sorted({tag_key(tag) for tag in row.hashtags}) for row in rows]
        n_tags = np.array([len(one) for one in tags], dtype=np.int64)
        of_row = np.repeat(np.arange(len(rows)), n_tags)
        if not len(of_row):
            return found
        keys = np.array([key for one in tags for key in one], dtype=np.int64)
        told = self._by_tag.ask(_number_of(self._tags, keys), before_s[of_row])
        apart = _shrunk(told.recent[50], _PRIOR["tags"])
        starts = np.r_[0, np.cumsum(n_tags)[:-1]]
        for row in np.flatnonzero(n_tags):
            at = slice(starts[row], starts[row] + n_tags[row])
            n = told.n[at]
            known = n > 0
            if not known.any():
                continue
            differences, weights = apart[at][known], np.minimum(n[known], 200) ** 0.5
            found[row] = (
                differences.mean(),
                differences.max(),
                # Tags that few use say more of a post than those of everybody.
                (differences / weights).sum() / (1 / weights).sum(),
                known.mean(),
                np.log1p(np.minimum(n[known].min(), 200)),
            )
        return found


def tag_key(tag: str) -> int:
    """Number of a hashtag, whatever its case; the same in every process."""
    return zlib.crc32(tag.lower().encode())


@dataclass(frozen=True)
class _Kept:
    video_ids: Ints
    authors: Ints
    sounds: Ints
    known_s: Ints
    posted_s: Ints
    values: Floats
    tags: Ints
    n_tags: Ints


def _newest(posts: Iterable[PastPost]) -> _Kept:
    """The posts in the order of their videos' ids, so that nothing hangs on how they came."""
    numbers = {name: array("q") for name in ("video", "author", "sound", "known", "posted", "n")}
    values, tags = array("d"), array("q")
    for post in posts:
        keys = sorted({tag_key(tag) for tag in post.hashtags})
        row = (
            post.video_id,
            -1 if post.author is None else post.author,
            -1 if post.sound is None else post.sound,
            # Rounded so that what is known in the second of a post is not known before it.
            math.ceil(post.known_at.timestamp()),
            math.floor(post.posted_at.timestamp()),
            len(keys),
        )
        for held, number in zip(numbers.values(), row, strict=True):
            held.append(number)
        values.append(math.log1p(1000 * post.views_k))
        tags.extend(keys)
    columns = {name: np.array(held, dtype=np.int64) for name, held in numbers.items()}
    all_values, all_tags = np.array(values), np.array(tags, dtype=np.int64)
    posted, ids = columns["posted"], columns["video"]
    keep = np.lexsort((ids, posted))[-MOST_POSTS:]
    keep = keep[np.argsort(ids[keep], kind="stable")]
    n_tags = columns["n"]
    start = np.r_[0, np.cumsum(n_tags)][:-1] if len(n_tags) else n_tags
    places = [np.arange(start[at], start[at] + n_tags[at]) for at in keep]
    return _Kept(
        ids[keep],
        columns["author"][keep],
        columns["sound"][keep],
        np.maximum(columns["known"][keep], 0),
        posted[keep],
        all_values[keep],
        all_tags[np.concatenate(places)] if places else all_tags[:0],
        n_tags[keep],
    )


def _numbered(keys: Ints) -> tuple[Ints, Ints]:
    """The keys, ascending, and the number of each given one among them."""
    names, numbers = np.unique(keys, return_inverse=True)
    return names, numbers.reshape(-1)


def _number_of(names: Ints, keys: Ints) -> Ints:
    """Number of each key, -1 where it is none of them, or below 0: nobody."""
    if not len(names):
        return np.full(len(keys), -1)
    at = np.minimum(np.searchsorted(names, keys), len(names) - 1)
    return np.where((keys >= 0) & (names[at] == keys), at, -1)


def _faded(values: Floats, first: NDArray[np.bool_], keep: float = 1.0) -> Floats:
    """Running sums of which each step keeps a share, that begin anew at each first one.

    One after the other: in sums over all keys at once, a later count of another key would move the
    last digit of an earlier one.
    """
    sums, total = array("d"), 0.0
    for is_first, value in zip(first.tolist(), values.tolist(), strict=True):
        total = value if is_first else total * keep + value
        sums.append(total)
    return np.array(sums)


def _mean(recent: tuple[Floats, Floats]) -> Floats:
    total, weight = recent
    return total / weight


def _shrunk(recent: tuple[Floats, Floats], prior: float) -> Floats:
    total, weight = recent
    shrunk: Floats = total / (weight + prior)
    return shrunk


def _log_days(now_s: Ints, then_s: Floats) -> Floats:
    return np.log1p(np.maximum(now_s - then_s, 0) / DAY_S)
