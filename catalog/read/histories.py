"""Read the posts that later posts may be judged by, each with the moment from which it is known."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session, aliased

from catalog.facts import Candidate, HistoryRule, PastOf, PastPost, posted_at_of
from catalog.read.posts import CANDIDATE, Page, by_video_id, hashtags_of
from catalog.schema.forecasts import SplitMember, member_label_k
from catalog.schema.tables import Hashtag, Video, VideoHashtag, ViewObservation
from catalog.schema.types import among, chunks, moments

# The age from which a count tells how a post did.
RIPE = timedelta(days=1)
# A count that is seen later than this says little of what was known when the next post was made.
EARLY = timedelta(weeks=1)
# How much of the past one post is judged by.
N_NEWEST = 2_000
N_NEWEST_OF_TAG = 400


def past_posts(
    session: Session,
    rule: HistoryRule,
    *,
    split_id: int | None = None,
    of: PastOf | None = None,
) -> Iterator[PastPost]:
    """Yield each video of known time and with a count, the gone ones too, in the order of its id.

    "observed": its first readable count that was seen at an age of RIPE or more, known from that
    moment. "posted": its newest readable count, or, of a member of the split, the label; known from
    the age RIPE on, whenever it was seen. of: only videos that may tell of one post: of its author
    and its sound the newest N_NEWEST, of each of its hashtags N_NEWEST_OF_TAG by id, and the newest
    N_NEWEST of all; those whose time only their id tells are taken by id, as many more.
    """
    page: Page = select(*CANDIDATE, Video.sound_id).where(Video.latest_observation_id.is_not(None))
    if rule == "posted":
        page = _with_counts(page, split_id)
    if of is None:
        rows: Iterable[Any] = by_video_id(session, page)
    else:
        rows = (
            row
            for ids in chunks(_ids_of(session, of))
            for row in session.execute(page.where(among(session, Video.id, ids)).order_by(Video.id))
        )
    for videos in chunks(rows):
        yield from _past(session, rule, videos)


def history_rule(session: Session, split_id: int) -> HistoryRule:
    """Return the rule that the catalog's counts allow for the videos of a split.

    "observed" where at least half of those whose time of posting is known have a readable count
    seen at an age between RIPE and EARLY; else "posted".
    """
    page = select(*CANDIDATE).join(SplitMember, SplitMember.video_id == Video.id)
    n_known = n_early = 0
    for videos in chunks(by_video_id(session, page.where(SplitMember.split_id == split_id))):
        posted = _posted(videos)
        n_known += len(posted)
        n_early += sum(
            seen_at - posted[video_id] <= EARLY
            for video_id, (seen_at, _views_k) in _first_counts(session, posted).items()
        )
    return "observed" if n_known and 2 * n_early >= n_known else "posted"


def _with_counts(page: Page, split_id: int | None) -> Page:
    latest = aliased(ViewObservation)
    page = page.join(latest, latest.id == Video.latest_observation_id)
    counted: Any = latest.views_k
    if split_id is not None:
        label = aliased(ViewObservation)
        is_member = (SplitMember.video_id == Video.id) & (SplitMember.split_id == split_id)
        page = page.outerjoin(SplitMember, is_member)
        page = page.outerjoin(label, label.id == SplitMember.observation_id)
        counted = func.coalesce(member_label_k(label), latest.views_k)
    return page.add_columns(counted).where(counted.is_not(None))


def _past(session: Session, rule: HistoryRule, videos: Sequence[Any]) -> Iterator[PastPost]:
    posted = _posted(videos)
    if rule == "observed":
        counts = _first_counts(session, posted)
    else:
        counts = {row[0]: (posted[row[0]] + RIPE, row[-1]) for row in videos if row[0] in posted}
    hashtags = hashtags_of(session, list(counts))
    for row in videos:
        video_id, author, sound = row[0], row[2], row[len(CANDIDATE)]
        if video_id in counts:
            known_at, views_k = counts[video_id]
            tags = tuple(hashtags.get(video_id, ()))
            yield PastPost(
                video_id, author, sound, tags, posted[video_id], known_at, float(views_k)
            )


def _posted(videos: Iterable[Any]) -> dict[int, datetime]:
    """Return when videos were posted, by id; those of which nobody knows it are left out."""
    found = {row[0]: posted_at_of(Candidate(*row[: len(CANDIDATE)])) for row in videos}
    return {video_id: at for video_id, at in found.items() if at is not None}


def _first_counts(
    session: Session, posted: dict[int, datetime]
) -> dict[int, tuple[datetime, float]]:
    """Return each video's first readable count from the age RIPE on, and when it was seen."""
    if not posted:
        return {}
    at = moments(session, [(video_id, video_id, when + RIPE) for video_id, when in posted.items()])
    seen = aliased(ViewObservation)
    first = (
        select(seen.id)
        .where(seen.video_id == at.c.owner, seen.views_k.is_not(None), seen.observed_at >= at.c.at)
        .order_by(seen.observed_at)
        .limit(1)
        .correlate(at)
        .scalar_subquery()
    )
    wanted: Page = select(
        ViewObservation.video_id, ViewObservation.observed_at, ViewObservation.views_k
    ).join(at, ViewObservation.id == first)
    return {video_id: (seen_at, k) for video_id, seen_at, k in session.execute(wanted)}


def _ids_of(session: Session, of: PastOf) -> list[int]:
    """Return the ids of the videos that may tell of one post, each once, in their order."""
    newest = select(Video.id).order_by(Video.id.desc()).limit(N_NEWEST)
    # What came into the catalog last need not have been posted last: exports begin with the newest.
    timed = select(Video.id).where(Video.posted_at.is_not(None)).limit(N_NEWEST)
    if of.before is not None:
        timed = timed.where(Video.posted_at < of.before)
    timed = timed.order_by(Video.posted_at.desc(), Video.id.desc())
    wanted = []
    for query in (timed, newest.where(Video.posted_at.is_(None))):
        wanted.append(query)
        if of.author is not None:
            wanted.append(query.where(Video.account_id == of.author))
        if of.sound is not None:
            wanted.append(query.where(Video.sound_id == of.sound))
    tags = session.scalars(select(Hashtag.id).where(among(session, Hashtag.name, of.hashtags)))
    wanted += [
        select(VideoHashtag.video_id)
        .where(VideoHashtag.hashtag_id == tag_id)
        .order_by(VideoHashtag.video_id.desc())
        .limit(N_NEWEST_OF_TAG)
        for tag_id in tags.all()
    ]
    return sorted({video_id for query in wanted for video_id in session.scalars(query)})
