"""The ledger of forecasts: each is entered when it is made, and judged once its horizon has passed.

A judgement is final: neither a count that is imported later, nor a corrected time of posting, nor
another `ages` setting changes it. What the video's age is counted from is the time of posting that
the forecast went by, `due_at` less the horizon.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import (
    Double,
    Row,
    and_,
    bindparam,
    case,
    cast,
    func,
    literal_column,
    select,
    tuple_,
    update,
)
from sqlalchemy.orm import Session

from catalog.ages import AgeRule, CountAtAge, NoCount, comes_of_age
from catalog.console import Progress
from catalog.facts import IN_SAMPLE, PredictionFacts
from catalog.read.counts import AskedAge, counts_at_age
from catalog.read.posts import Page
from catalog.schema.forecasts import UNJUDGED, Judgement, Prediction
from catalog.schema.session import Catalog
from catalog.schema.types import insert_into, table_of
from catalog.work.runs import RunInProgress

#: Judged at once, in one short transaction.
PAGE = 500
PAIR = and_(Prediction.run_id == Judgement.run_id, Prediction.video_id == Judgement.video_id)


def open_judgements(
    session: Session,
    run_id: int,
    model_version_id: int,
    made: Sequence[PredictionFacts],
    *,
    made_at: datetime,
) -> int:
    """Enter those of these stored predictions that are forecasts; return how many are new.

    One is a forecast where its horizon and the video's time of posting are known, and it was made
    before the video comes to that age. Of a model version, video and horizon the first one counts.
    """
    rows = [
        {
            "run_id": run_id,
            "video_id": fact.video_id,
            "model_version_id": model_version_id,
            "horizon_s": fact.horizon_s,
            "made_at": made_at,
            "due_at": due_at,
            "status": "open",
        }
        for fact in made
        if fact.horizon_s is not None and fact.posted_at is not None
        for due_at in [comes_of_age(fact.posted_at, fact.horizon_s)]
        if made_at < due_at
    ]
    if not rows:
        return 0
    statement = insert_into(session, Judgement).on_conflict_do_nothing()
    return len(session.execute(statement.returning(Judgement.video_id), rows).all())


def n_due(session: Session, now: datetime) -> int:
    """Count the open forecasts whose horizon has passed."""
    due = select(func.count()).select_from(Judgement).where(*_due(now))
    return session.execute(due).scalar_one()


def judge(
    catalog: Catalog, run: RunInProgress, progress: Progress, *, now: datetime, rule: AgeRule
) -> None:
    """Judge every open forecast whose horizon has passed, by counts seen after it was made.

    In pages that are each committed: whatever ends it, the next run goes on. One whose count may
    still come stays open; one that nobody looked at near that age is closed as "unobserved".
    """
    place: tuple[datetime, int, int] = (datetime.min.replace(tzinfo=UTC), 0, 0)
    while True:
        with catalog.write() as session:
            # Locked where the database has row locks: of two that judge at once, one passes over
            # what the other has, and neither waits.
            due = _page(now, place).with_for_update(of=Judgement, skip_locked=True)
            page = session.execute(due).all()
            found = _truths(session, page, now=now, rule=rule)
            closed = [
                _closed(row, truth)
                for row, truth in zip(page, found, strict=True)
                if truth != "not_yet"
            ]
            _close(session, closed, {"judged_at": now, "judged_run_id": run.id})
        for row, truth in zip(page, found, strict=True):
            if isinstance(truth, str):
                code = "not_yet" if truth == "not_yet" else "unobserved"
                run.skipped(f"{row.run_id}/{row.video_id}", code)
        run.done(sum(1 for truth in found if isinstance(truth, CountAtAge)))
        progress.advance(len(page))
        if len(page) < PAGE:
            return
        place = (page[-1].due_at, page[-1].run_id, page[-1].video_id)


def judged_metrics(
    session: Session, run_id: int, judged_at: datetime
) -> Iterator[tuple[int, dict[str, float]]]:
    """Yield of each horizon the errors of what a run judged, without what its model was taught."""
    error_k = Prediction.predicted_k - Judgement.truth_k
    is_inside = Judgement.is_inside.is_(True)
    inside = case((Judgement.is_inside.is_(None), None), (is_inside, 1.0), else_=0.0)
    of_run = (
        select(
            Judgement.horizon_s,
            func.count().label("n"),
            func.avg(func.abs(Judgement.error_log)).label("log_mae"),
            func.avg(Judgement.error_log).label("bias_log"),
            func.avg(func.abs(error_k)).label("mae_k"),
            func.avg(error_k * error_k).label("mse_k2"),
            func.avg(cast(inside, Double)).label("coverage_80"),
        )
        .join(Prediction, PAIR)
        .where(
            Judgement.judged_at == judged_at,
            Judgement.judged_run_id == run_id,
            Judgement.status == "judged",
            Prediction.part != IN_SAMPLE,
        )
        .group_by(Judgement.horizon_s)
        .order_by(Judgement.horizon_s)
    )
    for row in session.execute(of_run):
        values = row._asdict()
        yield (
            values.pop("horizon_s"),
            {name: value for name, value in values.items() if value is not None},
        )


def _due(now: datetime) -> tuple[Any, ...]:
    # In the words of the partial index, or SQLite cannot use it.
    return literal_column(f"judgement.{UNJUDGED}"), Judgement.due_at <= now


def _page(now: datetime, place: tuple[datetime, int, int]) -> Page:
    """What is due behind a place of the order."""
    key = tuple_(Judgement.due_at, Judgement.run_id, Judgement.video_id)
    wanted: Page = (
        select(
            Judgement.run_id,
            Judgement.video_id,
            Judgement.horizon_s,
            Judgement.made_at,
            Judgement.due_at,
            Prediction.predicted_k,
            Prediction.low_k,
            Prediction.high_k,
        )
        .join(Prediction, PAIR)
        .where(*_due(now), Judgement.due_at >= place[0], key > place)
        .order_by(Judgement.due_at, Judgement.run_id, Judgement.video_id)
        .limit(PAGE)
    )
    return wanted


def _truths(
    session: Session, page: Sequence[Row[Any]], *, now: datetime, rule: AgeRule
) -> list[CountAtAge | NoCount]:
    """Return what came of each forecast."""
    found: dict[tuple[int, int], CountAtAge | NoCount] = {}
    rows = page
    while rows:
        # A video may have several forecasts, made at several times: they are asked for in turn.
        first = {row.video_id: row for row in reversed(rows)}
        asked = {
            video_id: AskedAge(
                row.due_at - timedelta(seconds=row.horizon_s), row.horizon_s, row.made_at
            )
            for video_id, row in first.items()
        }
        truths = counts_at_age(session, asked, now=now, rule=rule)
        found |= {(row.run_id, row.video_id): truths[row.video_id] for row in first.values()}
        rows = [row for row in rows if first[row.video_id] is not row]
    return [found[row.run_id, row.video_id] for row in page]


def _closed(row: Row[Any], truth: CountAtAge | NoCount) -> dict[str, Any]:
    of = {"of_run": row.run_id, "of_video": row.video_id}
    if isinstance(truth, str):
        return of | {"status": "unobserved", **dict.fromkeys(TRUTH)}
    # By the truth itself and not by its bounds: of two that hold each other nobody could say what
    # share is to be expected inside.
    is_inside = None if row.low_k is None else row.low_k <= truth.views_k <= row.high_k
    values = (
        truth.views_k,
        truth.low_k,
        truth.high_k,
        truth.before.id if truth.before else None,
        truth.after.id if truth.after else None,
        math.log1p(row.predicted_k * 1_000) - math.log1p(truth.views_k * 1_000),
        is_inside,
    )
    return of | {"status": "judged", **dict(zip(TRUTH, values, strict=True))}


TRUTH = (
    "truth_k", "truth_low_k", "truth_high_k", "before_id", "after_id", "error_log", "is_inside",
)  # fmt: skip


def _close(session: Session, rows: Sequence[Mapping[str, Any]], by: Mapping[str, Any]) -> None:
    table = table_of(Judgement)
    statement = (
        update(table)
        .where(table.c.run_id == bindparam("of_run"), table.c.video_id == bindparam("of_video"))
        .where(table.c.status == "open")
        .values({name: bindparam(name) for name in ("status", *TRUTH, *by)})
    )
    if rows:
        session.connection().execute(statement, [{**row, **by} for row in rows])
