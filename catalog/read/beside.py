"""Read what stands beside a forecast: an account and its last posts, other videos' counts."""

from array import array
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import Select, func, or_, select
from sqlalchemy.orm import Session

from catalog.ages import label_of
from catalog.facts import (
    SITE_PLATFORM,
    AsOf,
    Candidate,
    FeatureSetFacts,
    KnownAccount,
    posted_at_of,
)
from catalog.read.posts import CANDIDATE, OF_ACCOUNT, by_video_id, known_of
from catalog.record.lineage import feature_set_facts
from catalog.schema.forecasts import DatasetSplit, SplitMember, member_label_k
from catalog.schema.tables import (
    Account,
    AccountObservation,
    Feature,
    FeatureSet,
    Hashtag,
    Sound,
    SoundObservation,
    Topic,
    TopicHashtag,
    Video,
    VideoHashtag,
    ViewObservation,
)
from catalog.schema.types import among, chunks

DAY_S = 86_400
# An account's posts that are looked through for the last ones: ids need not be in their order.
N_LOOKED_THROUGH = 2_000


@dataclass(frozen=True)
class Counts:
    """Counts in thousands, each with the video's age in days when it was seen; NaN: not known."""

    views_k: "array[float]" = field(default_factory=lambda: array("d"))
    ages_d: "array[float]" = field(default_factory=lambda: array("d"))

    def __len__(self) -> int:
        return len(self.views_k)

    def add(self, views_k: float, seen_at: datetime, posted_at: datetime | None) -> None:
        """Count in a video."""
        self.views_k.append(views_k)
        age_s = float("nan") if posted_at is None else (seen_at - posted_at).total_seconds()
        self.ages_d.append(age_s / DAY_S)


LATEST: Select[*tuple[Any, ...]] = (
    select(Video.id, ViewObservation.views_k, ViewObservation.observed_at, Video.posted_at)
    .join(ViewObservation, ViewObservation.id == Video.latest_observation_id)
    .where(ViewObservation.views_k.is_not(None))
)


def all_views(session: Session) -> Counts:
    """Return the latest count of every video that has one."""
    return _counted(by_video_id(session, LATEST))


def views_with_hashtags(session: Session, hashtags: Collection[str]) -> Counts:
    """Return the latest count of every video with at least one of the hashtags."""
    if not hashtags:
        return Counts()
    tagged = (
        select(VideoHashtag.video_id)
        .join(Hashtag, Hashtag.id == VideoHashtag.hashtag_id)
        .where(among(session, Hashtag.name, hashtags))
        .distinct()
        .subquery()
    )
    # Not by pages: the hashtags' own index would be gone through for each of them.
    with_one = LATEST.join(tagged, tagged.c.video_id == Video.id)
    return _counted(session.execute(with_one.execution_options(yield_per=1_000)))


def _counted(rows: Iterable[Any]) -> Counts:
    found = Counts()
    for _video_id, views_k, seen_at, posted_at in rows:
        found.add(views_k, seen_at, posted_at)
    return found


def find_account(session: Session, *, handle: str, keys: Collection[str]) -> int | None:
    """Return the id of the account of that name or of one of these author_keys; None: not here.

    A key goes before a name, and of several platforms the site's before the others.
    """
    found = session.execute(
        select(Account.id, Account.author_key, Account.platform).where(
            or_(Account.author_key.in_(keys), func.lower(Account.handle) == handle.lower())
        )
    ).all()
    ranked = sorted((key not in keys, where != SITE_PLATFORM, id_) for id_, key, where in found)
    return ranked[0][2] if ranked else None


def account_before(
    session: Session, account_id: int, moment: datetime, as_of: AsOf = "post"
) -> KnownAccount | None:
    """Return what had been seen of an account before a moment, by the rule of posts_of.

    None: nothing.
    """
    fields = [getattr(AccountObservation, name) for name in OF_ACCOUNT]
    owner = AccountObservation.account_id
    known = known_of(session, owner, fields, {0: account_id}, {0: moment}, as_of).get(0)
    return None if known is None else KnownAccount(*known)


@dataclass(frozen=True)
class KnownSound:
    """A sound of the catalog; n_videos: how many used it, as it was last seen. None: not said."""

    id: int
    is_original: bool | None
    n_videos: int | None


def sound_before(
    session: Session, platform_id: str, moment: datetime, as_of: AsOf = "post"
) -> KnownSound | None:
    """Return the sound that a site calls so, as it had been seen before a moment; None: not here.

    Of several platforms the site's goes before the others. as_of: as of an account.
    """
    found = session.execute(
        select(Sound.id, Sound.is_original, Sound.platform).where(Sound.platform_id == platform_id)
    ).all()
    if not found:
        return None
    sound_id, is_original, _where = min(found, key=lambda row: (row[2] != SITE_PLATFORM, row[0]))
    owner, used = SoundObservation.sound_id, [SoundObservation.n_videos]
    known = known_of(session, owner, used, {0: sound_id}, {0: moment}, as_of).get(0)
    return KnownSound(sound_id, is_original, None if known is None else known[0])


def last_posts(
    session: Session, account_id: int, *, before: datetime, n: int, age_s: float | None
) -> Counts:
    """Return counts of an account's last n posts before a moment that have one, the newest first.

    age_s: of each post the count seen at the age that is nearest to it; None: its newest one.
    """
    rows = session.execute(
        select(*CANDIDATE)
        .join(ViewObservation, ViewObservation.id == Video.latest_observation_id)
        .where(Video.account_id == account_id, ViewObservation.views_k.is_not(None))
        .order_by(Video.id.desc())
        .limit(N_LOOKED_THROUGH)
    )
    posted = {video.video_id: at for video in map(_candidate, rows) if (at := posted_at_of(video))}
    last = sorted((at, video_id) for video_id, at in posted.items() if at < before)[::-1][:n]
    seen: dict[int, list[tuple[datetime, float]]] = {}
    counted = select(
        ViewObservation.video_id, ViewObservation.observed_at, ViewObservation.views_k
    ).where(
        ViewObservation.video_id.in_([video_id for _at, video_id in last]),
        ViewObservation.views_k.is_not(None),
    )
    for video_id, seen_at, views_k in session.execute(counted):
        if views_k is not None:
            seen.setdefault(video_id, []).append((seen_at, views_k))
    found = Counts()
    for posted_at, video_id in last:
        seen_at, views_k = _count_at(sorted(seen[video_id]), posted_at, age_s)
        found.add(views_k, seen_at, posted_at)
    return found


def _count_at(
    seen: Sequence[tuple[datetime, float]], posted_at: datetime, age_s: float | None
) -> tuple[datetime, float]:
    if age_s is None:
        return seen[-1]
    return min(seen, key=lambda one: abs((one[0] - posted_at).total_seconds() - age_s))


def _candidate(row: Any) -> Candidate:
    return Candidate(*row)


def topics_with(session: Session, hashtags: Collection[str]) -> tuple[str, ...]:
    """Return the topics that hashtags stand for, in alphabetical order."""
    found = session.scalars(
        select(Topic.name)
        .join(TopicHashtag, TopicHashtag.topic_id == Topic.id)
        .join(Hashtag, Hashtag.id == TopicHashtag.hashtag_id)
        .where(among(session, Hashtag.name, hashtags))
        .order_by(Topic.name)
        .distinct()
    )
    return tuple(found)


def label_age_s(session: Session, split_id: int | None) -> float | None:
    """Return the age at which a split's videos got their labels; None: whenever they were seen."""
    if split_id is None:
        return None
    params = session.scalar(select(DatasetSplit.params).where(DatasetSplit.id == split_id))
    label = label_of(params or {})
    return None if label.kind == "latest" else label.age_s


def labels_of(session: Session, split_id: int | None, video_ids: Sequence[int]) -> "array[float]":
    """Return the labels, in thousands, of those of the videos that are in the split."""
    found = array("d")
    for chunk in chunks(video_ids):
        rows = session.scalars(
            select(member_label_k())
            .select_from(SplitMember)
            .join(ViewObservation, ViewObservation.id == SplitMember.observation_id)
            .where(SplitMember.split_id == split_id, SplitMember.video_id.in_(chunk))
            .order_by(SplitMember.video_id)
        )
        found.extend(views_k for views_k in rows if views_k is not None)
    return found


def newest_set_of(session: Session, kind: str) -> FeatureSetFacts | None:
    """Return the feature set of a kind that something was last made of; None where nothing was."""
    row = session.scalar(
        select(FeatureSet)
        .where(
            FeatureSet.kind == kind,
            select(Feature.video_id)
            .where(Feature.feature_set_id == FeatureSet.id, Feature.status == "done")
            .exists(),
        )
        .order_by(FeatureSet.id.desc())
        .limit(1)
    )
    return None if row is None else feature_set_facts(row)


def details_of(
    session: Session, set_ids: Mapping[str, int], video_ids: Sequence[int]
) -> dict[int, dict[str, Mapping[str, Any]]]:
    """Return what the extractors told of some videos, by video and kind; set_ids by kind."""
    kinds = {set_id: kind for kind, set_id in set_ids.items()}
    found: dict[int, dict[str, Mapping[str, Any]]] = {}
    for chunk in chunks(video_ids):
        rows = session.execute(
            select(Feature.video_id, Feature.feature_set_id, Feature.detail).where(
                Feature.feature_set_id.in_(kinds),
                Feature.video_id.in_(chunk),
                Feature.status == "done",
            )
        )
        for video_id, set_id, detail in rows:
            found.setdefault(video_id, {})[kinds[set_id]] = detail or {}
    return found


@dataclass(frozen=True)
class CountedVideo:
    """A video with its author and its latest count, in thousands."""

    video_id: int
    author: int | None
    views_k: float


def newest_counted(session: Session, feature_set_id: int, n: int) -> list[CountedVideo]:
    """Return the newest n videos that have a count and a feature of a set."""
    rows = session.execute(
        select(Video.id, Video.account_id, ViewObservation.views_k)
        .join(ViewObservation, ViewObservation.id == Video.latest_observation_id)
        .join(Feature, Feature.video_id == Video.id)
        .where(
            Feature.feature_set_id == feature_set_id,
            Feature.status == "done",
            ViewObservation.views_k.is_not(None),
        )
        .order_by(Video.id.desc())
        .limit(n)
    )
    return [
        CountedVideo(video_id, author, views_k)
        for video_id, author, views_k in rows
        if views_k is not None
    ]
