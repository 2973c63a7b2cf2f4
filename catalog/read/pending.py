"""What is to do: each question that a step asks before it starts, by name.

A video's stage is never stored; it is what these queries answer. Whatever can be as long as the
catalog comes as an iterator that reads one page at a time, by key and not by offset.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import and_, exists, func, or_, select
from sqlalchemy.orm import Session, aliased

from catalog.ages import AgeRule, CountAtAge, label_of
from catalog.errors import NotFound
from catalog.facts import (
    SITE_PLATFORM,
    AccountTodo,
    Candidate,
    ClipRef,
    HashtagTodo,
    Observed,
    ScoredRow,
    ScoreRow,
    TrainingRow,
    posted_at_of,
)
from catalog.read.counts import AskedAge, counts_at_age
from catalog.read.posts import CANDIDATE, OBSERVED, Page, by_video_id, features_of
from catalog.record.hashtags import plain_hashtag
from catalog.schema.forecasts import (
    DatasetSplit,
    ModelVersion,
    Prediction,
    SplitMember,
    member_label_k,
)
from catalog.schema.tables import (
    Account,
    Feature,
    Hashtag,
    MediaFile,
    Run,
    Sound,
    Topic,
    TopicHashtag,
    Video,
    ViewObservation,
)
from catalog.schema.types import among, chunks, utc_now

OPEN = ("pending", "failed", "leased")


def count_media_to_fetch(session: Session, *, every_platform: bool = False) -> int:
    """Return how many videos have no media file yet and are not given up; the site's, or all."""
    has_settled = exists().where(MediaFile.video_id == Video.id, MediaFile.status.not_in(OPEN))
    wanted = select(func.count()).select_from(Video).where(Video.gone_at.is_(None), ~has_settled)
    if not every_platform:
        wanted = wanted.where(Video.platform == SITE_PLATFORM)
    return session.execute(wanted).scalar_one()


def count_to_extract(
    session: Session, feature_set_id: int | None, *, needs_feature_set_id: int | None
) -> int:
    """Return how many videos have the input of a feature set but not its feature.

    feature_set_id: None for a set that nothing was extracted for yet.
    needs_feature_set_id: the set it is made from; None: the media files.
    """
    if needs_feature_set_id is None:
        has_input = exists().where(MediaFile.video_id == Video.id, MediaFile.status == "ok")
    else:
        made_from = aliased(Feature)
        has_input = exists().where(
            made_from.video_id == Video.id,
            made_from.feature_set_id == needs_feature_set_id,
            made_from.status == "done",
        )
    wanted = select(func.count()).select_from(Video).where(has_input)
    if feature_set_id is not None:
        wanted = wanted.where(
            ~exists().where(
                Feature.video_id == Video.id,
                Feature.feature_set_id == feature_set_id,
                Feature.status.not_in(OPEN),
            )
        )
    return session.execute(wanted).scalar_one()


SETTLED = ("done", "skipped", "dead")


def hashtags_to_list(
    session: Session,
    *,
    topics: Sequence[str] | None,
    hashtags: Sequence[str] | None,
    listed_before: datetime | None,
) -> list[HashtagTodo]:
    """Return the hashtags of these topics and these by name; of all topics when neither is given.

    listed_before: leave out what was completely listed at or after it; None: leave out nothing.
    A hashtag named here need not be in the catalog. Raises NotFound for an unknown topic.
    """
    named = {plain_hashtag(name) for name in hashtags or ()}
    known = set(session.scalars(select(Topic.name)))
    if unknown := sorted(set(topics or ()) - known):
        raise NotFound(f"no topic {unknown[0]!r}; there are: {', '.join(sorted(known)) or 'none'}")
    rows = session.execute(
        select(Hashtag.name, Topic.name, Hashtag.listed_at)
        .outerjoin(TopicHashtag, TopicHashtag.hashtag_id == Hashtag.id)
        .outerjoin(Topic, Topic.id == TopicHashtag.topic_id)
        .where(or_(Topic.id.is_not(None), Hashtag.name.in_(sorted(named))))
        .order_by(Hashtag.name, Topic.name)
    )
    everything = topics is None and hashtags is None
    wanted: dict[str, list[str]] = {name: [] for name in named}
    fresh: set[str] = set()
    of_tag: dict[str, list[str]] = {}
    for name, topic, listed_at in rows:
        if topic is not None:
            of_tag.setdefault(name, []).append(topic)
        if everything or topic in (topics or ()):
            wanted.setdefault(name, [])
        if listed_before is not None and listed_at is not None and listed_at >= listed_before:
            fresh.add(name)
    return [
        HashtagTodo(name, tuple(of_tag.get(name, ()))) for name in sorted(wanted.keys() - fresh)
    ]


def accounts_to_list(
    session: Session, *, named: Mapping[str, str] | None, listed_before: datetime | None
) -> list[AccountTodo]:
    """Return the accounts that are wanted, or those named, in the order of their names.

    named: names by author_key, whether the catalog knows them or not. listed_before: leave out what
    was completely listed at or after it; None: leave out nothing.
    """
    of_site = Account.platform == SITE_PLATFORM
    found: dict[str, str | None]
    if named is None:
        rows = session.execute(
            select(Account.author_key, Account.handle).where(
                of_site, Account.wanted_at.is_not(None), Account.handle.is_not(None)
            )
        )
        found = dict(rows.all())
    else:
        found = dict(named)
    if listed_before is not None and found:
        left_out = select(Account.author_key).where(
            of_site,
            Account.listed_at >= listed_before,
            among(session, Account.author_key, found),
        )
        for key in session.scalars(left_out):
            del found[key]
    todo = [AccountTodo(key, handle) for key, handle in found.items() if handle]
    return sorted(todo, key=lambda account: (account.handle, account.author_key))


def sounds_to_list(
    session: Session, *, named: Sequence[str] | None, listed_before: datetime | None
) -> list[str]:
    """Return the platform's ids of the sounds that are wanted, or of those named, in their order.

    named: whether the catalog knows them or not. listed_before: as in `accounts_to_list`.
    """
    of_site = Sound.platform == SITE_PLATFORM
    wanted = select(Sound.platform_id).where(of_site, Sound.wanted_at.is_not(None))
    found = set(session.scalars(wanted) if named is None else named)
    if listed_before is not None and found:
        fresh = select(Sound.platform_id).where(
            of_site, Sound.listed_at >= listed_before, among(session, Sound.platform_id, found)
        )
        found -= set(session.scalars(fresh))
    return sorted(found)


def videos_to_split(session: Session) -> Iterator[tuple[Candidate, Observed]]:
    """Yield each video that is not gone, with its latest count, which is readable; by id."""
    page = (
        select(*CANDIDATE, *OBSERVED)
        .join(ViewObservation, ViewObservation.id == Video.latest_observation_id)
        .where(Video.gone_at.is_(None), ViewObservation.views_k.is_not(None))
    )
    for row in by_video_id(session, page):
        yield Candidate(*row[: len(CANDIDATE)]), Observed(*row[len(CANDIDATE) :])


def first_videos(session: Session) -> dict[int, str]:
    """Return the tiktok_id of the first video that the catalog got of each account, by account."""
    first = (
        select(func.min(Video.id)).where(Video.account_id.is_not(None)).group_by(Video.account_id)
    )
    wanted = select(Video.account_id, Video.tiktok_id).where(Video.id.in_(first))
    return {account: name for account, name in session.execute(wanted) if account is not None}


def split_rows(
    session: Session,
    split_id: int,
    feature_set_ids: Mapping[str, int],
    *,
    parts: Sequence[str],
) -> Iterator[TrainingRow]:
    """Yield the labelled videos of these parts with what there is of each feature."""
    page = (
        select(*CANDIDATE, SplitMember.part, member_label_k(), ViewObservation.observed_at)
        .join(SplitMember, SplitMember.video_id == Video.id)
        .join(ViewObservation, ViewObservation.id == SplitMember.observation_id)
        .where(
            SplitMember.split_id == split_id,
            SplitMember.part.in_(parts),
            member_label_k().is_not(None),
        )
    )
    stated_s = _stated_age_s(session, split_id)
    for members in chunks(by_video_id(session, page)):
        features = features_of(session, feature_set_ids, [member[0] for member in members])
        for *of_video, part, views_k, seen_at in members:
            video = Candidate(*of_video)
            yield TrainingRow(
                video.video_id,
                video.tiktok_id,
                part,
                views_k,
                features[video.video_id],
                stated_s or _age_s(posted_at_of(video), seen_at),
            )


def videos_to_score(
    session: Session,
    *,
    model_version_id: int,
    feature_set_ids: Mapping[str, int],
    required: Sequence[str],
    run_id: int,
    rescore: bool,
    optional: bool = False,
    parts: Sequence[str] | None = None,
    after: int = 0,
    horizon_s: float | None = None,
    ages: AgeRule | None = None,
) -> Iterator[ScoreRow]:
    """Yield each video that this model version can score and has not, in the order of its id.

    after: begin behind this video id, to read page by page in short transactions. parts: only
    these of the model's split, "new" being outside of it; None: every video.

    A video is ready when no feature of the sets is still to come and each required kind is
    there; with `optional`, one that was never enrolled counts as absent. Scored means by any run
    of the version that did not fail; with `rescore`, by this run. The truth given is, for a member
    of the model's split, the label; of another video the newest readable count, or with horizon_s
    the count at that age by the rule `ages`, as far as it is known now.
    """
    split_id = session.scalar(
        select(ModelVersion.split_id).where(ModelVersion.id == model_version_id)
    )
    if unknown := sorted(set(required) - feature_set_ids.keys()):
        raise NotFound(f"required kind {unknown[0]!r} is none of {sorted(feature_set_ids)}")
    label = aliased(ViewObservation)
    latest = aliased(ViewObservation)
    page = (
        select(
            *CANDIDATE,
            SplitMember.part,
            label.id,
            member_label_k(label),
            label.observed_at,
            latest.id,
            latest.views_k,
        )
        .outerjoin(
            SplitMember, and_(SplitMember.video_id == Video.id, SplitMember.split_id == split_id)
        )
        .outerjoin(label, label.id == SplitMember.observation_id)
        .outerjoin(latest, latest.id == Video.latest_observation_id)
        .where(~_scored(run_id if rescore else None, model_version_id))
    )
    if parts is not None:
        page = page.where(func.coalesce(SplitMember.part, "new").in_(parts))
    for kind, set_id in sorted(feature_set_ids.items()):
        feature = aliased(Feature, name=f"ready_{kind}")
        enough = feature.status.in_(("done",) if kind in required else SETTLED)
        same = and_(feature.feature_set_id == set_id, feature.video_id == Video.id)
        if optional and kind not in required:
            page = page.outerjoin(feature, same).where(or_(enough, feature.status.is_(None)))
        else:
            page = page.join(feature, same).where(enough)
    stated_s = _stated_age_s(session, split_id)
    for videos in chunks(by_video_id(session, page, after)):
        features = features_of(session, feature_set_ids, [video[0] for video in videos])
        rows = [(Candidate(*row[: len(CANDIDATE)]), *row[len(CANDIDATE) :]) for row in videos]
        posted = {video.video_id: posted_at_of(video) for video, *_ in rows}
        at_age: Mapping[int, tuple[float, int | None]] = {}
        if horizon_s is not None:
            new = [video.video_id for video, part, *_ in rows if part is None]
            known = {video_id: at for video_id in new if (at := posted[video_id]) is not None}
            at_age = _known_at(session, known, horizon_s, ages or AgeRule())
        for video, part, label_id, label_k, label_at, latest_id, latest_k in rows:
            if part is not None:
                actual_k, observation_id = label_k, label_id
            elif horizon_s is None:
                actual_k, observation_id = latest_k, latest_id
            else:
                actual_k, observation_id = at_age.get(video.video_id, (None, None))
            posted_at = posted[video.video_id]
            yield ScoreRow(
                video.video_id,
                video.tiktok_id,
                features[video.video_id],
                actual_k,
                observation_id if actual_k is not None else None,
                part or "new",
                posted_at,
                None if label_at is None else stated_s or _age_s(posted_at, label_at),
            )


def _stated_age_s(session: Session, split_id: int | None) -> float | None:
    """Return the age that all labels of a split are of; None: each is of its own."""
    params = session.scalar(select(DatasetSplit.params).where(DatasetSplit.id == split_id))
    label = label_of(params or {})
    return label.age_s if label.kind == "at" else None


def _age_s(posted_at: datetime | None, seen_at: datetime) -> float | None:
    return None if posted_at is None else (seen_at - posted_at).total_seconds()


def _known_at(
    session: Session, posted: Mapping[int, datetime], age_s: float, rule: AgeRule
) -> dict[int, tuple[float, int | None]]:
    """Return the views at an age, as far as they are known, with the count that they rest on."""
    asked = {video_id: AskedAge(at, age_s) for video_id, at in posted.items()}
    found = {}
    for video_id, count in counts_at_age(session, asked, now=utc_now(), rule=rule).items():
        if isinstance(count, CountAtAge):
            rests_on = count.before or count.after
            found[video_id] = count.views_k, None if rests_on is None else rests_on.id
    return found


def scored_rows(session: Session, run_id: int) -> Iterator[ScoredRow]:
    """Yield each prediction of a run whose truth is known."""
    page = select(
        Prediction.video_id,
        Prediction.part,
        Prediction.actual_k,
        Prediction.predicted_k,
        Prediction.low_k,
        Prediction.high_k,
        Prediction.pred_quartile,
        Video.account_id,
    ).join(Video, Video.id == Prediction.video_id)
    page = page.where(Prediction.run_id == run_id, Prediction.actual_k.is_not(None))
    for row in by_video_id(session, page):
        yield ScoredRow(*row[1:])


def clip_refs(session: Session, feature_set_id: int, *, split_id: int | None) -> list[ClipRef]:
    """Return the finished clips of a set; without a split each one is for training."""
    part = SplitMember.part if split_id is not None else None
    columns = [Video.id, Feature.status, Feature.uri, Feature.row, Feature.sha256]
    page: Page = (select(*columns, part) if part is not None else select(*columns)).join(
        Feature, Feature.video_id == Video.id
    )
    page = page.where(Feature.feature_set_id == feature_set_id, Feature.status == "done")
    if split_id is not None:
        page = page.join(SplitMember, SplitMember.video_id == Video.id).where(
            SplitMember.split_id == split_id
        )
    return [
        ClipRef(
            status=row[1],
            uri=row[2],
            row=row[3],
            sha256=row[4],
            video_id=row[0],
            part=row[5] if split_id is not None else "train",
        )
        for row in by_video_id(session, page)
    ]


def _scored(run_id: int | None, model_version_id: int) -> Any:
    if run_id is not None:
        return exists().where(Prediction.video_id == Video.id, Prediction.run_id == run_id)
    return exists().where(
        Prediction.video_id == Video.id,
        Run.id == Prediction.run_id,
        Run.model_version_id == model_version_id,
        Run.status != "failed",
    )
