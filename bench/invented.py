"""Invented collections that are as hard to forecast as four real ones, which are nobody's to give.

Each is a world: a sum of causes, every one scaled to its share of the variance of ln(1 + views),
so that what can be told of a post by its text, its account, its author's earlier posts and its
sound is known, and stays what it is while a model is worked on. The shares were set so that a
constant's error and the forecasts of the peer (`bench.peer`) are near those on the real ones
(docs/benchmarks.md). Everything is a function of the name and the seed.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Final

import numpy as np
from numpy.typing import NDArray

from catalog.facts import KnownAccount, PartName, PastPost, PostFacts, Traits
from model.batches import Example

FIRST: Final = datetime(2025, 1, 1, tzinfo=UTC)
DAY: Final = timedelta(days=1)
REGIONS: Final = ("US", "DE", "BR", "ID", "FR", "JP")
N_TOPICS, WORDS_OF_TOPIC, COMMON_WORDS = 40, 250, 2_500
N_TAGS_OF_TOPIC, N_COMMON_TAGS = 30, 60
FAME = 0.4
Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class World:
    """A collection: its size, and what shares of the variance of ln(1 + views) have which cause.

    activity: how unequal the numbers of posts are (sd of ln of an author's rate). centre, sd: of
    ln(1 + views). account: the author's level as followers show it. author: the level that they
    do not show. drift: the level that walks, with `drift_days` as its memory. session: what posts
    of one sitting share. topic, words, tags, sound, timing: of a post. trend: of the whole
    catalog over its time. What is left of 1 is chance. floor: nothing below it is collected.
    authors_topics: of how many topics an author posts.
    """

    n: int
    n_authors: int
    days: float
    centre: float
    sd: float
    activity: float = 1.0
    account: float = 0.0
    author: float = 0.0
    drift: float = 0.0
    drift_days: float = 30.0
    session: float = 0.0
    session_posts: float = 1.5
    topic: float = 0.0
    words: float = 0.0
    tags: float = 0.0
    sound: float = 0.0
    timing: float = 0.0
    trend: float = 0.0
    floor: float = 0.0
    authors_topics: int = 2
    n_sounds: int = 1_500


WORLDS: Final = {
    # A: many authors with few posts each; the account decides.
    "a": World(
        4_000, 9_000, 500, 7.5, 2.82, activity=0.5, session_posts=2.6, account=0.32,
        topic=0.09, words=0.06, tags=0.04, sound=0.01, timing=0.05, trend=0.01, authors_topics=5,
    ),
    # B: small counts; the author's level decides, and walks.
    "b": World(
        10_000, 1_250, 60, 5.1, 1.94, activity=1.0, account=0.58, author=0.06, drift=0.05,
        drift_days=8, session=0.07, session_posts=2.5, topic=0.06, words=0.05, tags=0.03,
        timing=0.03, trend=0.01,
    ),
    # C: only what went viral; hardly anything tells.
    "c": World(
        10_000, 5_000, 400, 11.8, 1.4, activity=1.0, account=0.08, author=0.04, drift=0.04,
        topic=0.09, words=0.07, tags=0.05, sound=0.05, timing=0.05, trend=0.02, floor=11.8,
    ),
    # D: one creator over three years.
    "d": World(
        921, 1, 1_095, 9.0, 1.5, drift=0.50, drift_days=60, topic=0.10, words=0.08, tags=0.04,
        timing=0.04, authors_topics=10, session_posts=1.0,
    ),
}  # fmt: skip


def collection(name: str, seed: int = 0, n: int | None = None) -> list[Example]:
    """Rows of a collection, the oldest first, with the accounts as they were at the crawl.

    n: how many rows; None: as many as the real one has. Authors and days go with it.
    """
    world = WORLDS[name]
    if n is not None:
        share = n / world.n
        n_authors = max(1, round(world.n_authors * share))
        world = replace(world, n=n, n_authors=n_authors, days=world.days * share)
    return _Making(world, np.random.default_rng([ord(name[0]), seed])).rows()


def share_by(age_s: Floats) -> Floats:
    """Share of its views that a post has at an age where they grow: half of them at three days."""
    return age_s / (age_s + 3 * 86_400)


def seen_anytime(rows: Sequence[Example], seed: int = 0) -> list[Example]:
    """The rows with one count each of growing ones, seen at 12 hours to 60 days, whatever it is."""
    random = np.random.default_rng([5, seed])
    ages = 86_400 * np.exp(random.uniform(np.log(0.5), np.log(60), len(rows)))
    return [
        replace(row, age_s=age_s, views_k=(row.views_k or 0.0) * share)
        for row, age_s, share in zip(rows, ages.tolist(), share_by(ages).tolist(), strict=True)
    ]


def seen_at_once(rows: Sequence[Example]) -> list[Example]:
    """The rows with the ages that their counts have in one crawl, two days after the last post."""
    posted = [row.facts.posted_at for row in rows]
    seen_at = max(at for at in posted if at is not None) + 2 * DAY
    return [
        replace(row, age_s=None if at is None else (seen_at - at).total_seconds())
        for row, at in zip(rows, posted, strict=True)
    ]


def split(rows: Sequence[Example], *, by: str = "time") -> dict[PartName, list[Example]]:
    """Parts as `split create` makes them with --val 0.1 --holdout 0.2, by time or by author."""
    n = len(rows)
    if by == "time":
        ends = (n - round(n * 0.2) - round(n * 0.1), n - round(n * 0.2))
        return {"train": list(rows[: ends[0]]), "val": list(rows[ends[0] : ends[1]]),
                "holdout": list(rows[ends[1] :])}  # fmt: skip
    parts: dict[PartName, list[Example]] = {"train": [], "val": [], "holdout": []}
    for row in rows:
        draw = np.random.default_rng(row.facts.author or 0).random()
        parts["holdout" if draw < 0.2 else "val" if draw < 0.3 else "train"].append(row)
    return parts


def past_posts(rows: Sequence[Example], after: timedelta = DAY) -> list[PastPost]:
    """The same posts as later ones may know them, by the rule "posted"."""
    found = []
    for row in rows:
        facts = row.facts
        assert facts.posted_at is not None
        assert row.views_k is not None
        found.append(
            PastPost(
                row.video_id,
                facts.author,
                facts.sound,
                facts.hashtags,
                facts.posted_at,
                facts.posted_at + after,
                row.views_k,
            )
        )
    return found


def as_rows(
    rows: Sequence[Example], crawled_at: datetime | None = None
) -> Iterator[dict[str, object]]:
    """Rows for `viewcast import --platform shorts`: as a crawl after the last post shows them."""
    last = rows[-1].facts.posted_at
    assert last is not None
    seen = crawled_at or last + 2 * DAY
    for row in rows:
        facts, account = row.facts, row.facts.account or KnownAccount()
        assert facts.posted_at is not None
        assert row.views_k is not None
        yield {
            "id": f"post{row.video_id:07d}",
            "caption": facts.caption,
            "hashtags": list(facts.hashtags),
            "author": f"author{facts.author}",
            "posted_at": facts.posted_at.isoformat(),
            "observed_at": seen.isoformat(),
            "views": round(row.views_k * 1_000),
            "duration_s": facts.duration_s,
            "width_px": facts.width_px,
            "height_px": facts.height_px,
            "followers": account.n_followers,
            "following": account.n_following,
            "bio_chars": account.bio_chars,
            "author_region": account.region,
            "author_posts": account.n_posts,
            "verified": account.is_verified,
            "sound_id": None if facts.sound is None else f"sound{facts.sound}",
            "sound_original": facts.is_sound_original,
            "sound_uses": facts.n_sound_videos,
        }


class _Making:
    """The draws of one collection, in a fixed order."""

    def __init__(self, world: World, random: np.random.Generator) -> None:
        self.world, self.random = world, random
        self.topic_of_author = random.integers(
            N_TOPICS, size=(world.n_authors, world.authors_topics)
        )
        self.rate = np.exp(random.normal(0, world.activity, world.n_authors))
        # Some topics have larger accounts: that is how a text tells of one.
        fame = random.normal(size=N_TOPICS)[self.topic_of_author].mean(axis=1)
        self.shown, self.hidden = random.normal(size=(2, world.n_authors))
        self.shown += FAME * np.sqrt(world.authors_topics) * fame
        self.followers = np.exp(
            8 + 2.0 * (0.95 * self.shown + 0.3 * random.normal(size=world.n_authors))
        )

    def rows(self) -> list[Example]:
        """More posts than wanted are made where only some are collected."""
        world, random = self.world, self.random
        share = 0.45 if world.floor else 1.0
        author, moment, session = self._sittings(int(world.n / share))
        n = len(author)
        topic = self.topic_of_author[author, random.integers(world.authors_topics, size=n)]
        words, word_part = self._captions(topic, author)
        tags, tag_part = self._tags(topic)
        sound, n_sound_videos, sound_part = self._sounds(n)
        duration_s = np.round(np.exp(random.normal(3.1, 0.6, n)).clip(3, 180), 1)
        parts = {
            "account": self.shown[author],
            "author": self.hidden[author],
            "drift": self._walk(author, moment),
            "session": random.normal(size=session.max() + 1)[session],
            "topic": random.normal(size=N_TOPICS)[topic],
            "words": word_part,
            "tags": tag_part,
            "sound": sound_part,
            "timing": self._timing(moment, duration_s, words),
            "trend": _standard(np.sin(2.2 * np.pi * moment / world.days) + 2 * moment / world.days),
        }
        level = np.zeros(n)
        left = 1.0
        for name, values in parts.items():
            of_all = float(getattr(world, name))
            level += np.sqrt(of_all) * _standard(values)
            left -= of_all
        # Chance has a heavier upper tail, as real counts have.
        chance = _standard(random.standard_gamma(4, n)) * 0.6 + random.normal(size=n) * 0.8
        log_views = world.centre + world.sd * (level + np.sqrt(left) * chance)
        kept = self._collected(log_views)
        views = np.floor(np.exp(log_views.clip(0, 20)))
        counts = np.bincount(author, minlength=world.n_authors)
        accounts = self._accounts(counts)
        return [
            Example(
                number + 1,
                views_k=float(views[at]) / 1_000,
                facts=PostFacts(
                    caption=words[at] + "".join(f" #{tag}" for tag in tags[at]),
                    hashtags=tags[at],
                    author=int(author[at]) + 1,
                    posted_at=FIRST + timedelta(seconds=round(moment[at] * 86_400)),
                    duration_s=float(duration_s[at]),
                    width_px=576,
                    height_px=1024,
                    traits=Traits(language="en", region=accounts[author[at]].region),
                    account=accounts[author[at]],
                    sound=None if sound[at] < 0 else int(sound[at]) + 1,
                    is_sound_original=bool(sound[at] < 0),
                    n_sound_videos=None if sound[at] < 0 else int(n_sound_videos[sound[at]]),
                ),
            )
            for number, at in enumerate(kept)
        ]

    def _sittings(self, n: int) -> tuple[Ints, Floats, Ints]:
        """Author, moment in days, and sitting of n posts in the order of posting."""
        world, random = self.world, self.random
        sizes = random.geometric(1 / world.session_posts, n)
        sizes = sizes[: int(np.searchsorted(np.cumsum(sizes), n)) + 1]
        session = np.repeat(np.arange(len(sizes)), sizes)[:n]
        of_session = random.choice(world.n_authors, len(sizes), p=self.rate / self.rate.sum())
        start = random.uniform(0, world.days, len(sizes))
        moment = start[session] + random.uniform(0, 0.25, n)
        order = np.argsort(moment, kind="stable")
        return of_session[session[order]], moment[order], session[order]

    def _walk(self, author: Ints, moment: Floats) -> Floats:
        """A level per author that forgets itself with `drift_days` and has a sd of 1."""
        values = np.empty(len(author))
        steps = self.random.normal(size=len(author))
        last: dict[int, tuple[float, float]] = {}
        for at, (who, now) in enumerate(zip(author.tolist(), moment.tolist(), strict=True)):
            before, value = last.get(who, (-np.inf, 0.0))
            keeps = np.exp(-(now - before) / self.world.drift_days)
            values[at] = keeps * value + np.sqrt(1 - keeps**2) * steps[at]
            last[who] = (now, float(values[at]))
        return values

    def _captions(self, topic: Ints, author: Ints) -> tuple[list[str], Floats]:
        """Words by Zipf, some of the topic and some of everybody, and the mean of their effects."""
        random, n = self.random, len(topic)
        lengths = random.poisson(6, n) + 2
        total = int(lengths.sum())
        row = np.repeat(np.arange(n), lengths)
        # What an author likes to say is part of what words tell: the same rank, moved.
        ranks = np.minimum(random.zipf(1.35, total) - 1, WORDS_OF_TOPIC - 1)
        habit = (ranks + author[row] % 7 * 3) % WORDS_OF_TOPIC
        of_topic = topic[row] * WORDS_OF_TOPIC + habit
        of_all = N_TOPICS * WORDS_OF_TOPIC + np.minimum(
            random.zipf(1.2, total) - 1, COMMON_WORDS - 1
        )
        word = np.where(random.random(total) < 0.5, of_topic, of_all)
        effects = random.normal(size=N_TOPICS * WORDS_OF_TOPIC + COMMON_WORDS)
        part = np.bincount(row, effects[word], n) / np.sqrt(lengths)
        names = _names(len(effects), random)
        borders = np.cumsum(lengths)[:-1]
        return [" ".join(names[w] for w in group) for group in np.split(word, borders)], part

    def _tags(self, topic: Ints) -> tuple[list[tuple[str, ...]], Floats]:
        random, n = self.random, len(topic)
        effects = random.normal(size=N_TOPICS * N_TAGS_OF_TOPIC + N_COMMON_TAGS)
        names = [f"tag{number}" for number in range(len(effects))]
        counts = random.binomial(8, 0.4, n)
        found, part = [], np.zeros(n)
        for at, (count, of) in enumerate(zip(counts.tolist(), topic.tolist(), strict=True)):
            ranks = np.minimum(random.zipf(1.5, count) - 1, N_TAGS_OF_TOPIC - 1)
            common = N_TOPICS * N_TAGS_OF_TOPIC + random.integers(N_COMMON_TAGS, size=count)
            chosen = np.unique(
                np.where(random.random(count) < 0.65, of * N_TAGS_OF_TOPIC + ranks, common)
            )
            found.append(tuple(sorted(names[tag] for tag in chosen)))
            part[at] = effects[chosen].sum() / np.sqrt(max(1, len(chosen)))
        return found, part

    def _sounds(self, n: int) -> tuple[Ints, Ints, Floats]:
        """Sound of each post (-1: its own), uses of each sound, and what the sound adds."""
        random, n_sounds = self.random, self.world.n_sounds
        sound = np.minimum(random.zipf(1.3, n) - 1, n_sounds - 1)
        sound[random.random(n) < 0.4] = -1
        effect = random.normal(size=n_sounds)
        uses = np.exp(9 + 1.6 * (0.7 * effect + 0.7 * random.normal(size=n_sounds))).astype(
            np.int64
        )
        return sound, uses, np.where(sound < 0, 0.0, effect[sound])

    def _timing(self, moment: Floats, duration_s: Floats, words: Sequence[str]) -> Floats:
        """Hour, weekday and length, with a bend that a straight line does not find."""
        hour, weekday = moment % 1 * 24, moment // 1 % 7
        evening = np.exp(-(((hour - 19) / 3) ** 2))
        short = -np.abs(np.log(duration_s / 20))
        n_chars = np.array([len(text) for text in words])
        weekend = (weekday >= 5) & (hour < 12)
        return np.asarray(evening + 0.6 * short + 0.4 * weekend + 0.3 * (n_chars > 60))

    def _collected(self, log_views: Floats) -> Ints:
        world = self.world
        kept = (
            np.flatnonzero(log_views >= world.floor) if world.floor else np.arange(len(log_views))
        )
        if len(kept) > world.n:
            kept = np.sort(self.random.choice(kept, world.n, replace=False))
        return kept

    def _accounts(self, n_collected: Ints) -> list[KnownAccount]:
        random, n = self.random, self.world.n_authors
        n_posts = n_collected + np.exp(random.normal(4, 1.2, n) + 0.3 * np.log(self.rate)).astype(
            int
        )
        following = np.exp(random.normal(5.5, 1.2, n)).astype(int)
        verified = self.followers * np.exp(random.normal(size=n)) > 400_000
        missing = random.random(n) < 0.02
        bios, regions = random.integers(0, 80, n), random.integers(len(REGIONS), size=n)
        return [
            KnownAccount() if missing[at] else KnownAccount(
                int(self.followers[at]), int(following[at]), int(n_posts[at]),
                bool(verified[at]), int(bios[at]), REGIONS[regions[at]],
            )
            for at in range(n)
        ]  # fmt: skip


def _standard(values: Floats) -> Floats:
    spread = float(values.std())
    return np.asarray((values - values.mean()) / (spread if spread > 1e-9 else 1.0))


def _names(n: int, random: np.random.Generator) -> list[str]:
    """So many words of syllables: what n-grams of characters see in real ones is there, too."""
    syllables = [a + b for a in "bdfgklmnprstvz" for b in "aeiou"]
    drawn = random.integers(len(syllables), size=(n, 3))
    return [
        "".join(syllables[s] for s in row[: 2 + at % 2]) + ("n" if at % 5 == 0 else "")
        for at, row in enumerate(drawn)
    ]
