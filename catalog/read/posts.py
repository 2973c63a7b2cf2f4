"""Read what posts say: caption, hashtags, author, times, and what was heard in the video."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sqlalchemy import Select, select
from sqlalchemy.orm import Session

from catalog.facts import Candidate, FeatureRef, PostFacts, uploaded_at
from catalog.schema.tables import Feature, Hashtag, Video, VideoHashtag, ViewObservation

PAGE = 1_000
MISSING = FeatureRef("missing", None, None, None)
Page = Select[*tuple[Any, ...]]
#: The columns of a Candidate and of an Observed, in the order of their fields.
CANDIDATE = (Video.id, Video.tiktok_id, Video.account_id, Video.posted_at, Video.first_seen_at)
OBSERVED = (ViewObservation.id, ViewObservation.observed_at, ViewObservation.views_k)


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
        ).where(Feature.feature_set_id.in_(kinds), Feature.video_id.in_(video_ids))
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
        .where(VideoHashtag.video_id.in_(video_ids))
        .order_by(VideoHashtag.video_id, Hashtag.name)
    )
    for video_id, name in rows:
        found.setdefault(video_id, []).append(name)
    return found


def posts_of(
    session: Session, video_ids: Sequence[int], *, audio_set_id: int | None
) -> dict[int, PostFacts]:
    """Return what is known of at most a chunk of videos beside how they did, by video.

    audio_set_id: the feature set whose transcripts are read; None: no transcript.
    """
    hashtags = hashtags_of(session, video_ids)
    heard = {} if audio_set_id is None else _heard(session, video_ids, audio_set_id)
    wanted: Page = select(
        *CANDIDATE, Video.caption, Video.duration_s, Video.width_px, Video.height_px
    ).where(Video.id.in_(video_ids))
    found = {}
    for *of_video, caption, duration_s, width_px, height_px in session.execute(wanted):
        video = Candidate(*of_video)
        told = uploaded_at(video)
        # Where neither the page nor the id says it, the first sight is no time of posting.
        is_known = video.posted_at is not None or told != video.first_seen_at
        said = heard.get(video.video_id, {})
        found[video.video_id] = PostFacts(
            caption=caption,
            hashtags=tuple(hashtags.get(video.video_id, ())),
            author=video.author_id,
            posted_at=told if is_known else None,
            duration_s=duration_s,
            width_px=width_px,
            height_px=height_px,
            transcript=said.get("text"),
            language=said.get("language"),
            speech_s=said.get("speech_s"),
        )
    return found


def _heard(
    session: Session, video_ids: Sequence[int], audio_set_id: int
) -> dict[int, dict[str, Any]]:
    rows = session.execute(
        select(Feature.video_id, Feature.detail).where(
            Feature.feature_set_id == audio_set_id,
            Feature.video_id.in_(video_ids),
            Feature.status == "done",
        )
    )
    return {video_id: detail for video_id, detail in rows if detail is not None}
