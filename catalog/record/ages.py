"""Keep the views of videos at the reported ages up to date, at the cost of what is new alone.

An age begins with every observation that there is, and then looks only at the videos of newer ones,
and at those whose time for another count has run out since. Both marks move in the transaction that
writes what they stand for, so that a kill at any moment loses at most one page of work.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, and_, delete, func, select, text, tuple_, update
from sqlalchemy.orm import Session

from catalog.ages import AgeRule
from catalog.facts import Candidate, posted_at_of
from catalog.read.counts import AskedAge, counts_at_age
from catalog.read.posts import CANDIDATE
from catalog.schema.forecasts import ReportedAge, ViewsAtAge
from catalog.schema.session import Catalog
from catalog.schema.tables import Video, ViewObservation
from catalog.schema.types import among, bulk, chunks, insert_into, utc_now
from catalog.work.runs import Outcome, RunInProgress, record_run

#: Observations or videos of one transaction: what is held in memory, and how long others wait.
PAGE = 1_000
COUNT = ("views_k", "low_k", "high_k", "method", "before_id", "after_id")
UNSYNCED = {"synchronize_session": False}
# Earlier than any post.
FIRST = datetime(1970, 1, 1, tzinfo=UTC)
LEAST = timedelta(microseconds=1)


def keep_ages(
    catalog: Catalog, ages_s: Sequence[int], rule: AgeRule, *, parent_id: int | None = None
) -> Outcome:
    """Bring the views at these ages up to date, and drop those at other ages.

    An age that is new, or has another rule than before, is worked out anew. Done is counted by the
    counts that came, changed or went.
    """
    params = {"ages_s": list(ages_s), "reach": rule.reach, "tolerance": rule.tolerance}
    with record_run(catalog, "ages", params=params, parent_id=parent_id) as run:
        now = utc_now()
        _settle(catalog, ages_s, rule, now)
        newest = _newest_observation(catalog)
        while _read_page(catalog, run, newest):
            pass
        for age_s in ages_s:
            _close(catalog, run, age_s, now)
    return run.outcome


@dataclass(frozen=True)
class AgesToDo:
    """How much `keep_ages` would look at, and which ages it would begin anew or drop."""

    begun: tuple[int, ...]
    dropped: tuple[int, ...]
    n_observations: int
    n_videos_closing: int


def ages_to_do(session: Session, ages_s: Sequence[int], rule: AgeRule) -> AgesToDo:
    """Return what there is to do; writes nothing."""
    rows = session.scalars(select(ReportedAge).order_by(ReportedAge.age_s)).all()
    going_on = [row for row in rows if _is_wanted(row, ages_s, rule)]
    begun = tuple(age_s for age_s in ages_s if age_s not in {row.age_s for row in going_on})
    read_to = 0 if begun else min((row.read_to_id for row in going_on), default=0)
    newer = select(func.count()).where(ViewObservation.id > read_to)
    now = utc_now()
    n_closing = 0
    for row in going_on:
        for closing in (_closing(row, now), _closing_by_id(row, now)):
            n_closing += session.scalar(select(func.count(Video.id)).where(closing)) or 0
    return AgesToDo(
        begun=begun,
        dropped=tuple(row.age_s for row in rows if row.age_s not in ages_s),
        n_observations=session.scalar(newer) or 0 if ages_s else 0,
        n_videos_closing=n_closing,
    )


def n_known_by_age(session: Session) -> dict[int, int]:
    """Return of how many videos the views are known, by reported age in seconds."""
    counted = (
        select(ReportedAge.age_s, func.count(ViewsAtAge.video_id))
        .outerjoin(ViewsAtAge, ViewsAtAge.age_s == ReportedAge.age_s)
        .group_by(ReportedAge.age_s)
        .order_by(ReportedAge.age_s)
    )
    return dict(session.execute(counted).all())


def reread_from(session: Session, newest_id: int) -> None:
    """Let no age have read beyond the newest observation, when newer ones have been deleted.

    SQLite gives the number of a row that was the last one to the next.
    """
    session.execute(
        update(ReportedAge)
        .where(ReportedAge.read_to_id > newest_id)
        .values(read_to_id=newest_id)
        .execution_options(**UNSYNCED)
    )


def look_again(session: Session, video_ids: Collection[int], run_id: int | None) -> None:
    """Work out the views of videos anew whose time of posting is another one now.

    The counts may all be known ones, which no later reading would look at.
    """
    if not video_ids:
        return
    ages = session.scalars(select(ReportedAge).order_by(ReportedAge.age_s).with_for_update()).all()
    for chunk in chunks(sorted(video_ids)):
        _look(session, chunk, ages, run_id)


def _is_wanted(row: ReportedAge, ages_s: Collection[int], rule: AgeRule) -> bool:
    return row.age_s in ages_s and (row.reach, row.tolerance) == (rule.reach, rule.tolerance)


def _settle(catalog: Catalog, ages_s: Sequence[int], rule: AgeRule, now: datetime) -> None:
    """Drop the ages that are not wanted, or by another rule, and begin those that are missing."""
    with catalog.read() as session:
        rows = session.scalars(select(ReportedAge)).all()
    kept = {row.age_s for row in rows if _is_wanted(row, ages_s, rule)}
    for row in rows:
        if row.age_s not in kept:
            _drop(catalog, row.age_s, ages_s, rule)
    # Whatever has closed by now is looked at with the first reading, which comes later than now.
    begun = [
        {
            "age_s": age_s,
            "reach": rule.reach,
            "tolerance": rule.tolerance,
            "read_to_id": 0,
            "closed_to": now,
        }
        for age_s in ages_s
        if age_s not in kept
    ]
    if begun:
        with catalog.write() as session:
            session.execute(insert_into(session, ReportedAge).on_conflict_do_nothing(), begun)


def _drop(catalog: Catalog, age_s: int, ages_s: Sequence[int], rule: AgeRule) -> None:
    """Delete an age with its counts, page by page; the age itself last."""
    last = 0
    while True:
        with catalog.write() as session:
            row = session.get(ReportedAge, age_s, with_for_update=True)
            if row is None or _is_wanted(row, ages_s, rule):
                return  # another run has been here
            of_age = ViewsAtAge.age_s == age_s
            page = select(ViewsAtAge.video_id).where(of_age, ViewsAtAge.video_id > last)
            ids = session.scalars(page.order_by(ViewsAtAge.video_id).limit(PAGE)).all()
            _delete_counts(session, age_s, ids)
            if len(ids) < PAGE:
                session.delete(row)
                return
            last = ids[-1]


def _newest_observation(catalog: Catalog) -> int:
    """Return the highest id of an observation below which none can come any more; 0: there is none.

    On PostgreSQL ids are given out before they are committed. The lock waits for whoever is adding
    observations, so that none of a lower id is on its way, and ends with its transaction.
    """
    with catalog.write() as session:
        if session.get_bind().dialect.name == "postgresql":
            session.execute(text("LOCK TABLE view_observation IN SHARE MODE"))
        return session.scalar(select(func.max(ViewObservation.id))) or 0


def _read_page(catalog: Catalog, run: RunInProgress, newest: int) -> bool:
    """Look at the videos of the next observations; False where there are none up to the newest.

    The ages that are furthest behind go on together, up to where the next one stands.
    """
    with catalog.write() as session:
        # The lock lets one run at a time write, so that none overwrites newer counts with older.
        rows = session.scalars(
            select(ReportedAge).order_by(ReportedAge.age_s).with_for_update()
        ).all()
        read_to = min((row.read_to_id for row in rows), default=newest)
        if read_to >= newest:
            return False
        behind = [row for row in rows if row.read_to_id == read_to]
        stop = min([newest, *(row.read_to_id for row in rows if row.read_to_id > read_to)])
        page = (
            select(ViewObservation.id, ViewObservation.video_id, Video.latest_observation_id)
            .join(Video, Video.id == ViewObservation.video_id)
            .where(ViewObservation.id > read_to, ViewObservation.id <= stop)
            .order_by(ViewObservation.id)
            .limit(PAGE)
        )
        seen = session.execute(page).all()
        last = seen[-1][0] if len(seen) == PAGE else stop
        # A video whose newest count is still to be read is looked at then, once instead of often.
        due = {video_id for _id, video_id, newest_id in seen if not last < (newest_id or 0) <= stop}
        n_changed = _look(session, due, behind, run.id)
        for row in behind:
            row.read_to_id = last
    run.done(n_changed)
    return True


def _close(catalog: Catalog, run: RunInProgress, age_s: int, until: datetime) -> None:
    """Look at the videos whose time for a count ran out since it was last looked for them."""
    last: tuple[datetime, int] = (FIRST, 0)
    is_stated = False  # those first of which only the id tells the time: the mark stays meanwhile
    while True:
        with catalog.write() as session:
            row = session.get(ReportedAge, age_s, with_for_update=True)
            if row is None or (row.closed_to or FIRST) >= until:
                return  # another run has been here
            place: tuple[Any, ...]
            if is_stated:
                closing, place = _closing(row, until), (Video.posted_at, Video.id)
                behind: Any = tuple_(*place) > tuple_(*last)
            else:
                closing, place = _closing_by_id(row, until), (Video.id,)
                behind = Video.id > last[1]
            page = select(Video.id, Video.posted_at).where(closing, behind)
            found = session.execute(page.order_by(*place).limit(PAGE)).all()
            n_changed = _look(session, {video_id for video_id, _at in found}, [row], run.id)
            is_over = len(found) < PAGE
            if is_over and is_stated:
                row.closed_to = until
            elif is_over:
                is_stated, last = True, (FIRST, 0)
            else:
                last = (found[-1][1] or FIRST, found[-1][0])
                if is_stated:
                    # Not to the very moment: others may have been posted in it.
                    row.closed_to = last[0] + _window(row) - LEAST
            is_done = is_over and row.closed_to == until
        run.done(n_changed)
        if is_done:
            return


def _window(row: ReportedAge) -> timedelta:
    """How long after its post a video's last count may come that tells of this age."""
    return timedelta(seconds=row.age_s * (1 + row.reach))


def _closing(row: ReportedAge, until: datetime) -> ColumnElement[bool]:
    """Say which videos come to the end of their time; of a stated time of posting."""
    since = (row.closed_to or FIRST) - _window(row)
    return and_(Video.posted_at > since, Video.posted_at <= until - _window(row))


def _closing_by_id(row: ReportedAge, until: datetime) -> ColumnElement[bool]:
    """Say which ones come to it by the time in their ids, whose upper half is a second.

    Ids of one length are in the order of their times as text, too.
    """
    first, last = (
        str(max(0, int((at - _window(row)).timestamp())) << 32)
        for at in (row.closed_to or FIRST, until + timedelta(seconds=1))
    )
    return and_(
        Video.posted_at.is_(None),
        Video.latest_observation_id.is_not(None),
        func.length(Video.tiktok_id) == len(last),
        Video.tiktok_id >= first,
        Video.tiktok_id < last,
    )


def _look(
    session: Session, video_ids: Collection[int], ages: Sequence[ReportedAge], run_id: int | None
) -> int:
    """Work out the views of videos at these ages anew; return how many counts that changed."""
    if not video_ids:
        return 0
    videos = session.execute(select(*CANDIDATE).where(among(session, Video.id, video_ids)))
    posted = {row[0]: at for row in videos if (at := posted_at_of(Candidate(*row)))}
    is_theirs = among(session, ViewsAtAge.video_id, video_ids)
    columns = [getattr(ViewsAtAge, name) for name in COUNT]
    n_changed = 0
    for age in ages:
        kept = {
            row[0]: tuple(row[1:])
            for row in session.execute(
                select(ViewsAtAge.video_id, *columns).where(
                    is_theirs, ViewsAtAge.age_s == age.age_s
                )
            )
        }
        asked = {video_id: AskedAge(at, age.age_s) for video_id, at in posted.items()}
        rule = AgeRule(age.reach, age.tolerance)
        found = counts_at_age(session, asked, now=utc_now(), rule=rule)
        told = {
            video_id: (
                count.views_k,
                count.low_k,
                count.high_k,
                count.method,
                None if count.before is None else count.before.id,
                None if count.after is None else count.after.id,
            )
            for video_id, count in found.items()
            if not isinstance(count, str)
        }
        rows = [
            {
                "video_id": video_id,
                "age_s": age.age_s,
                "run_id": run_id,
                **dict(zip(COUNT, values, strict=True)),
            }
            for video_id, values in sorted(told.items())
            if kept.get(video_id) != values
        ]
        _put_counts(session, rows)
        gone = kept.keys() - told.keys()
        _delete_counts(session, age.age_s, gone)
        n_changed += len(rows) + len(gone)
    return n_changed


def _put_counts(session: Session, rows: Sequence[dict[str, Any]]) -> None:
    statement = insert_into(session, ViewsAtAge)
    changed = {name: statement.excluded[name] for name in (*COUNT, "run_id")}
    keys = ["video_id", "age_s"]
    bulk(session, statement.on_conflict_do_update(index_elements=keys, set_=changed), rows)


def _delete_counts(session: Session, age_s: int, video_ids: Collection[int]) -> None:
    if video_ids:
        session.execute(
            delete(ViewsAtAge)
            .where(ViewsAtAge.age_s == age_s, among(session, ViewsAtAge.video_id, video_ids))
            .execution_options(**UNSYNCED)
        )
