"""What the catalog says beside a forecast: of the author, of other videos, of the model."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import cached_property
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from catalog.facts import (
    IN_SAMPLE,
    AsOf,
    HistoryRule,
    KnownAccount,
    ModelFacts,
    PastOf,
    PastPost,
    PostFacts,
)
from catalog.files import sha256_of
from catalog.read.beside import (
    Counts,
    KnownSound,
    account_before,
    all_views,
    details_of,
    find_account,
    label_age_s,
    labels_of,
    last_posts,
    newest_counted,
    newest_set_of,
    sound_before,
    topics_with,
    views_with_hashtags,
)
from catalog.read.histories import past_posts
from catalog.read.lookup import (
    KnownVideo,
    PredictedCount,
    final_metrics,
    known_videos,
    model_feature_sets,
    newest_predictions,
    part_in_split,
    videos_of_files,
)
from catalog.schema.session import Catalog
from catalog.verdict import LEAST_GAIN
from model.blocks.past import Asked, Histories
from model.forecast.card import (
    AuthorStanding,
    LikeIt,
    Similar,
    Standing,
    TrackRecord,
    judge,
    percentile_of,
)
from model.forecast.cautions import Caution
from model.forecast.opening_facts import FACTS, FEWEST_ROWS, OpeningTable, numbers_of
from model.forecast.ranking import Shared, shared_error
from model.forecast.request import Named
from model.modern.neighbours import Neighbour
from model.targets import log_views

COMPARABLE_AT_LEAST = 30  # videos with a common hashtag; with fewer, all are compared with
N_OWN = 20
ALIKE_AT_LEAST = 30
MIDDLE_80 = (0.1, 0.9)
#: Held-out videos that are looked at; more would only cost time.
MOST_HELD_OUT = 20_000
DAY_S = 86_400


@dataclass(frozen=True)
class Poster:
    """What the catalog knows of who posts with which sound; None: not given, or not here."""

    author: int | None = None
    account: KnownAccount | None = None
    sound: KnownSound | None = None
    cautions: tuple[Caution, ...] = ()

    def fill(self, facts: PostFacts) -> PostFacts:
        """The facts of a post with those of its author and its sound."""
        found = replace(facts, author=self.author, account=self.account)
        if self.sound is None:
            return found
        return replace(
            found,
            sound=self.sound.id,
            is_sound_original=self.sound.is_original,
            n_sound_videos=self.sound.n_videos,
        )


@dataclass
class Beside:
    """Asks the catalog, each thing once; moment: the one of posting, or now where none is known.

    history: which counts of earlier posts the model reads; None: of none. hashtags: all that any
    forecast is asked with. least_gain: the setting verdict.least_gain. as_of: what the model reads
    of accounts and sounds. levels: of the catalog, where the model remembers them.
    """

    catalog: Catalog
    model: ModelFacts
    history: HistoryRule | None
    moment: datetime
    is_constant: bool
    author: Named | None = None
    sound_id: str | None = None
    hashtags: tuple[str, ...] = ()
    least_gain: float = LEAST_GAIN
    as_of: AsOf = "post"
    levels: NDArray[np.float64] | None = None
    _tagged: dict[tuple[str, ...], Counts] = field(default_factory=dict)

    def known(self, path: Path) -> tuple[KnownVideo | None, str | None]:
        """The catalog's video that has this very file, and its part in the model's split."""
        sha256 = sha256_of(path)
        with self.catalog.read() as session:
            known = videos_of_files(session, [sha256]).get(sha256)
            if known is None or self.model.split_id is None:
                return known, None
            part = part_in_split(session, self.model.split_id, known.video_id)
        taught = part in self.model.hyper.get("learned_from", [IN_SAMPLE])
        return known, IN_SAMPLE if taught else part

    @cached_property
    def poster(self) -> Poster:
        """The author and the sound as they had been seen before the moment."""
        cautions = []
        author = account = sound = None
        with self.catalog.read() as session:
            if self.author is not None:
                name = self.author.name
                author = find_account(session, handle=name.lstrip("@"), keys=self.author.keys)
                if author is None:
                    cautions.append(_unknown("author", name))
                else:
                    account = account_before(session, author, self.moment, self.as_of)
            if self.sound_id is not None:
                sound = sound_before(session, self.sound_id, self.moment, self.as_of)
                if sound is None:
                    cautions.append(_unknown("sound", self.sound_id))
        return Poster(author, account, sound, tuple(cautions))

    def topics(self, hashtags: tuple[str, ...]) -> tuple[str, ...]:
        """Topics that hashtags stand for."""
        with self.catalog.read() as session:
            return topics_with(session, hashtags)

    def history_of(self, facts: PostFacts, video_id: int) -> NDArray[np.float32] | None:
        """What earlier posts got that are like this one, as of the moment; None: nobody reads it.

        The hour of the post may be another one: what is known of the past stays that of today.
        video_id: of the catalog's video that the file is, whose own count tells nothing.
        """
        if self.history is None:
            return None
        asked = Asked(facts.author, facts.sound, facts.hashtags, self.moment)
        [columns] = self._histories(video_id).columns([asked])
        return np.asarray(columns)

    def _histories(self, video_id: int) -> Histories:
        if any(post.video_id == video_id for post in self._past):
            others = (post for post in self._past if post.video_id != video_id)
            return Histories(others, self.levels)
        return self._all_histories

    @cached_property
    def _all_histories(self) -> Histories:
        return Histories(self._past, self.levels)

    @cached_property
    def _past(self) -> list[PastPost]:
        assert self.history is not None  # the caller has looked
        poster = self.poster
        sound = None if poster.sound is None else poster.sound.id
        of = PastOf(poster.author, sound, self.hashtags, self.moment)
        with self.catalog.read() as session:
            return list(past_posts(session, self.history, split_id=self.model.split_id, of=of))

    def standing(self, views_k: float, hashtags: tuple[str, ...]) -> Standing:
        """The share of comparable videos that a forecast is above."""
        if hashtags not in self._tagged:  # the same for each file of a request
            with self.catalog.read() as session:
                self._tagged[hashtags] = views_with_hashtags(session, hashtags)
        others = self._tagged[hashtags]
        if len(others) < COMPARABLE_AT_LEAST:
            others, hashtags = self._all_views, ()
        percentile = percentile_of(views_k, others.views_k)
        return Standing(percentile, len(others), hashtags, _median_age(others))

    def among_own(self, views_k: float) -> AuthorStanding | None:
        """The share of the author's last posts that a forecast is above."""
        percentile = percentile_of(views_k, self._own.views_k)
        if percentile is None:
            return None
        wanted_s = self._wanted_age_s
        wanted_d = None if wanted_s is None else wanted_s / DAY_S
        return AuthorStanding(percentile, len(self._own), _median_age(self._own), wanted_d)

    @cached_property
    def _own(self) -> Counts:
        author = self.poster.author
        if author is None:
            return Counts()
        with self.catalog.read() as session:
            return last_posts(
                session, author, before=self.moment, n=N_OWN, age_s=self._wanted_age_s
            )

    @cached_property
    def _wanted_age_s(self) -> float | None:
        """Age that a forecast is of, at which other posts are compared with it."""
        if self.model.horizon_s is not None:
            return self.model.horizon_s
        with self.catalog.read() as session:
            return label_age_s(session, self.model.split_id)

    def similar(self, nearest: Sequence[Neighbour]) -> tuple[Similar, ...]:
        """What is known of the videos that are still there."""
        with self.catalog.read() as session:
            found = known_videos(session, [one.video_id for one in nearest])
        return tuple(
            Similar(video.tiktok_id, video.url, video.caption, video.views_k, one.similarity)
            for one in nearest
            if (video := found.get(one.video_id)) is not None
        )

    def like_it(self, nearest: Sequence[Neighbour]) -> LikeIt | None:
        """What most of the training videos got that are like a file; None of too few."""
        with self.catalog.read() as session:
            labels = labels_of(session, self.model.split_id, [one.video_id for one in nearest])
        if len(labels) < ALIKE_AT_LEAST:
            return None
        low_k, high_k = np.quantile(labels, MIDDLE_80).tolist()
        return LikeIt(len(labels), low_k, high_k)

    @cached_property
    def record(self) -> TrackRecord:
        """How the model did in the run that trained it."""
        with self.catalog.read() as session:
            metrics = {
                part: final_metrics(session, self.model.train_run_id, part)
                for part in ("holdout", "val")
            }
        return judge(metrics, is_constant=self.is_constant, least_gain=self.least_gain)

    @cached_property
    def shared(self) -> Shared | None:
        """How much of its errors on held-out videos those of one author share."""
        rows = self._held_out
        columns = (
            [row.actual_k for row in rows],
            [row.predicted_k for row in rows],
            [np.nan if row.low_k is None else row.low_k for row in rows],
            [np.nan if row.high_k is None else row.high_k for row in rows],
        )
        numbers = (np.array(column, dtype=np.float64) for column in columns)
        return shared_error([row.author for row in rows], *numbers)

    @cached_property
    def opening_table(self) -> OpeningTable:
        """Openings of videos that the model had not seen, and by how much it missed them.

        Where it forecast too few, those of the newest videos, and their views.
        """
        with self.catalog.read() as session:
            found = {fact.kind: newest_set_of(session, fact.kind) for fact in FACTS}
            sets = {kind: one for kind, one in found.items() if one is not None}
            sets |= {
                kind: one
                for kind, one in model_feature_sets(session, self.model.id).items()
                if kind in found
            }
            ids = {kind: one.id for kind, one in sets.items()}
            rows = self._held_out
            details = details_of(session, ids, [row.video_id for row in rows])
            rows = [row for row in rows if "opening" in details.get(row.video_id, {})]
            if len(rows) >= FEWEST_ROWS or "opening" not in ids:
                numbers = [numbers_of(details[row.video_id]) for row in rows]
                actual = log_views([row.actual_k for row in rows])
                missed = actual - log_views([row.predicted_k for row in rows])
                authors = tuple(row.author for row in rows)
                return OpeningTable(_stacked(numbers), missed, authors, "forecast")
            videos = newest_counted(session, ids["opening"], MOST_HELD_OUT)
            details = details_of(session, ids, [video.video_id for video in videos])
        return OpeningTable(
            _stacked([numbers_of(details.get(video.video_id, {})) for video in videos]),
            log_views([video.views_k for video in videos]),
            tuple(video.author for video in videos),
            "views",
        )

    @cached_property
    def _held_out(self) -> list[PredictedCount]:
        with self.catalog.read() as session:
            found = newest_predictions(session, self.model, "holdout")
            return list(islice(found, MOST_HELD_OUT))

    @cached_property
    def _all_views(self) -> Counts:
        with self.catalog.read() as session:
            return all_views(session)


def _unknown(what: str, name: str) -> Caution:
    words = f"post: the {what} {name} is not in this catalog; the forecast knows nothing of it"
    return Caution(f"unknown_{what}", "post", words, is_partial=False)


def _median_age(counts: Counts) -> float | None:
    ages = np.asarray(counts.ages_d)
    ages = ages[np.isfinite(ages)]
    return float(np.median(ages)) if len(ages) else None


def _stacked(rows: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
    return np.stack(rows) if rows else np.zeros((0, len(FACTS)))
