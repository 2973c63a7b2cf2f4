"""Read what posts say: caption, hashtags, times, what was heard and read in the video.

And what was known of their accounts and sounds at a moment.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import FromClause, Select, func, select
from sqlalchemy.orm import InstrumentedAttribute, Session

from catalog.facts import (
    AsOf,
    Candidate,
    FeatureRef,
    KnownAccount,
    PostFacts,
    Traits,
    posted_at_of,
)
from catalog.schema.tables import (
    AccountObservation,
    Feature,
    Hashtag,
    Sound,
    SoundObservation,
    Topic,
    TopicHashtag,
    Video,
    VideoHashtag,
    ViewObservation,
)
from catalog.schema.types import among, moments

PAGE = 1_000
# So many observations back a field is looked for that newer ones left open: an account may have
# tens of thousands that never say it.
N_LOOKED_AT = 20
# Earlier than anything was seen: of a post whose time nobody knows.
EVER = datetime.min.replace(tzinfo=UTC)
MISSING = FeatureRef("missing", None, None, None)
Page = Select[*tuple[Any, ...]]
#: The columns of a Candidate, of an Observed and of others, in the order of their fields.
CANDIDATE = (Video.id, Video.tiktok_id, Video.account_id, Video.posted_at, Video.first_seen_at)
OF_TRAITS = tuple(Traits.__dataclass_fields__)
OF_ACCOUNT = tuple(KnownAccount.__dataclass_fields__)
OBSERVED = (
    ViewObservation.id,
    ViewObservation.observed_at,
    ViewObservation.views_k,
    ViewObservation.step_k,
)


def by_video_id(session: Session, statement: Page, after: int = 0) -> Iterator[Any]:
    """Yield the rows of `statement`, whose first column is video.id, a page at a time."""
    last = after
    while True:
        page = statement.where(Video.id > last).order_by(Video.id).limit(PAGE)
        rows = session.execute(page).all()
        yield from rows
        if len(rows) < PAGE:
            return
        last = rows[-1][0]


def features_of(
    session: Session, feature_set_ids: Mapping[str, int], video_ids: Sequence[int]
) -> dict[int, dict[str, FeatureRef]]:
    """Return the features of at most a chunk of videos, by video and kind."""
    found = {video_id: dict.fromkeys(feature_set_ids, MISSING) for video_id in video_ids}
    kinds = {set_id: kind for kind, set_id in feature_set_ids.items()}
    rows = session.execute(
        select(
            Feature.video_id,
            Feature.feature_set_id,
            Feature.status,
            Feature.uri,
            Feature.row,
            Feature.sha256,
        ).where(Feature.feature_set_id.in_(kinds), among(session, Feature.video_id, video_ids))
    )
    for video_id, set_id, status, uri, row, sha256 in rows:
        # What an unfinished row still holds is of an earlier input: it is not there yet.
        ref = FeatureRef(status, uri, row, sha256) if status == "done" else None
        found[video_id][kinds[set_id]] = ref or FeatureRef(status, None, None, None)
    return found


def hashtags_of(session: Session, video_ids: Sequence[int]) -> dict[int, list[str]]:
    """Return the hashtags of at most a chunk of videos, by video, in alphabetical order."""
    found: dict[int, list[str]] = {}
    rows = session.execute(
        select(VideoHashtag.video_id, Hashtag.name)
        .join(Hashtag, Hashtag.id == VideoHashtag.hashtag_id)
        .where(among(session, VideoHashtag.video_id, video_ids))
        .order_by(VideoHashtag.video_id, Hashtag.name)
    )
    for video_id, name in rows:
        found.setdefault(video_id, []).append(name)
    return found


def posts_of(
    session: Session,
    video_ids: Sequence[int],
    *,
    audio_set_id: int | None,
    ocr_set_id: int | None = None,
    as_of: AsOf = "post",
) -> dict[int, PostFacts]:
    """Return what is known of at most a chunk of videos beside how they did, by video.

    audio_set_id, ocr_set_id: the feature sets whose words are read; None: no transcript, and
    nothing of the screen. as_of: what of account and sound is read. "post": of each field what was
    last said of it strictly before the post, by one of the last N_LOOKED_AT observations; of a post
    whose time nobody knows nothing. "crawl": where that is nothing, what was first said of it
    afterwards.
    """
    columns = [*CANDIDATE, Video.caption, Video.duration_s, Video.width_px, Video.height_px]
    columns += [Video.sound_id, Sound.is_original, *(getattr(Video, name) for name in OF_TRAITS)]
    wanted: Page = select(*columns).outerjoin(Sound, Sound.id == Video.sound_id)
    wanted = wanted.where(among(session, Video.id, video_ids)).order_by(Video.id)
    rows = session.execute(wanted).all()
    videos = [Candidate(*row[: len(CANDIDATE)]) for row in rows]
    posted = {video.video_id: posted_at_of(video) for video in videos}
    moment_of = {video: at or EVER for video, at in posted.items() if at or as_of == "crawl"}
    accounts = known_of(
        session,
        AccountObservation.account_id,
        [getattr(AccountObservation, name) for name in OF_ACCOUNT],
        {video.video_id: video.author_id for video in videos},
        moment_of,
        as_of,
    )
    used = known_of(
        session,
        SoundObservation.sound_id,
        [SoundObservation.n_videos],
        {row.id: row.sound_id for row in rows},
        moment_of,
        as_of,
    )
    hashtags = hashtags_of(session, video_ids)
    topics = _topics_of(session, video_ids)
    heard = _details(session, video_ids, audio_set_id)
    read = _details(session, video_ids, ocr_set_id)
    found = {}
    for video, row in zip(videos, rows, strict=True):
        said = heard.get(video.video_id, {})
        traits = Traits(*row[-len(OF_TRAITS) :])
        known = accounts.get(video.video_id)
        found[video.video_id] = PostFacts(
            caption=row.caption,
            hashtags=tuple(hashtags.get(video.video_id, ())),
            author=video.author_id,
            posted_at=posted[video.video_id],
            duration_s=row.duration_s,
            width_px=row.width_px,
            height_px=row.height_px,
            transcript=said.get("text"),
            language=said.get("language"),
            speech_s=said.get("speech_s"),
            screen=read.get(video.video_id, {}).get("text"),
            topics=tuple(topics.get(video.video_id, ())),
            traits=None if traits == Traits() else traits,
            account=None if known is None else KnownAccount(*known),
            sound=row.sound_id,
            is_sound_original=row.is_original,
            n_sound_videos=used.get(video.video_id, (None,))[0],
        )
    return found


def known_of(
    session: Session,
    owner: InstrumentedAttribute[int],
    fields: Sequence[InstrumentedAttribute[Any]],
    owners: Mapping[int, int | None],
    moment_of: Mapping[int, datetime],
    as_of: AsOf,
) -> dict[int, tuple[Any, ...]]:
    """Return what was known at each video's moment of its owner, an account or a sound.

    owners: by video; None: nobody knows. A video of which nothing was known is left out.
    """
    asked = [
        (video_id, owner_id, moment_of[video_id])
        for video_id, owner_id in owners.items()
        if owner_id is not None and video_id in moment_of
    ]
    if not asked:
        return {}
    at = moments(session, asked)
    values = []
    for field in fields:
        told = _nearest(at, owner, field, is_before=True)
        if as_of == "crawl":
            told = func.coalesce(told, _nearest(at, owner, field, is_before=False))
        values.append(told)
    rows = session.execute(select(at.c.id, *values))
    return {row[0]: tuple(row[1:]) for row in rows if any(value is not None for value in row[1:])}


def _nearest(
    at: FromClause,
    owner: InstrumentedAttribute[int],
    field: InstrumentedAttribute[Any],
    *,
    is_before: bool,
) -> Any:
    """Return the query of what a field was last said to be before a moment, or first from it on."""
    seen_at = owner.class_.observed_at
    near = (
        select(field.label("told"), seen_at.label("seen_at"))
        .where(owner == at.c.owner, seen_at < at.c.at if is_before else seen_at >= at.c.at)
        .order_by(seen_at.desc() if is_before else seen_at)
        .limit(N_LOOKED_AT)
        .correlate(at)
        .subquery()
    )
    return (
        select(near.c.told)
        .where(near.c.told.is_not(None))
        .order_by(near.c.seen_at.desc() if is_before else near.c.seen_at)
        .limit(1)
        .scalar_subquery()
    )


def _topics_of(session: Session, video_ids: Sequence[int]) -> dict[int, list[str]]:
    """Return the topics that the hashtags of videos stand for, in alphabetical order."""
    found: dict[int, list[str]] = {}
    rows = session.execute(
        select(VideoHashtag.video_id, Topic.name)
        .join(TopicHashtag, TopicHashtag.hashtag_id == VideoHashtag.hashtag_id)
        .join(Topic, Topic.id == TopicHashtag.topic_id)
        .where(among(session, VideoHashtag.video_id, video_ids))
        .order_by(VideoHashtag.video_id, Topic.name)
        .distinct()
    )
    for video_id, name in rows:
        found.setdefault(video_id, []).append(name)
    return found


def _details(
    session: Session, video_ids: Sequence[int], feature_set_id: int | None
) -> dict[int, dict[str, Any]]:
    """Return what an extractor told of videos; of no set nothing."""
    if feature_set_id is None:
        return {}
    rows = session.execute(
        select(Feature.video_id, Feature.detail).where(
            Feature.feature_set_id == feature_set_id,
            among(session, Feature.video_id, video_ids),
            Feature.status == "done",
        )
    )
    return {video_id: detail for video_id, detail in rows if detail is not None}
