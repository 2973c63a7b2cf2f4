"""A video's texts as what a feature is made from: which there are now, and whose have changed.

They are rows of the catalog and no file: the caption, the words of the newest feature set that
heard the video, the lines of the newest one that read its screen. Their hash stands beside the
feature, so that it is made anew when a text has changed, and never otherwise.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from sqlalchemy import ColumnElement, or_, select, update
from sqlalchemy.orm import Session

from catalog.facts import KIND_OF_PART
from catalog.files import sha256_text
from catalog.schema.session import Catalog
from catalog.schema.tables import Feature, FeatureSet, Video
from catalog.schema.types import among, canonical_json, insert_into, utc_now

#: The kind of feature that is made from texts.
TEXT_KIND: Final = "text"
#: What a video without any text has in place of the feature.
NO_TEXT: Final = "no_text"
#: Videos looked at in one go: what is held in memory, and how long others wait to write.
PAGE: Final = 5_000
SETTLED: Final = ("done", "skipped", "dead")
#: All that a finished unit tells, but for its shard: a row of it is there to be removed first.
EMPTIED: Final[Mapping[str, Any]] = {
    "not_before": None,
    "row": None,
    "sha256": None,
    "shape": None,
    "dtype": None,
    "n_bytes": None,
    "seconds": None,
    "detail": None,
    "input_sha256": None,
    "error": None,
    "run_id": None,
}

Texts = dict[str, str]


def hash_of(texts: Mapping[str, str]) -> str:
    """Name texts by what they say and which part says it."""
    return sha256_text(canonical_json(texts))


def texts_of(session: Session, video_ids: Collection[int]) -> dict[int, Texts]:
    """Return each video's texts by part; a part that is empty or not known is left out."""
    of_videos = select(Video.id, Video.caption).where(Video.id.in_(video_ids))
    captions = dict(session.execute(of_videos).all())
    return _texts(session, captions, Feature.video_id.in_(video_ids))


@dataclass
class _Page:
    """Of a page of videos: whose feature is to be made, is to be made anew, is open already.

    without: those that have no text, and no note of it yet. last: the highest id among them.
    """

    last: int
    new: list[int] = field(default_factory=list)
    again: list[int] = field(default_factory=list)
    without: list[int] = field(default_factory=list)
    n_open: int = 0


def enrol_texts(catalog: Catalog, feature_set_id: int) -> int:
    """Open the features whose texts are there and have changed since; return how many.

    A video without any text gets no feature, with the code `no_text`, until it has one. Goes
    through all videos, page by page in short transactions: nobody waits for long to write.
    """
    last, n_opened = 0, 0
    while True:
        with catalog.read() as session:
            page = _next_page(session, feature_set_id, last)
        if page is None:
            return n_opened
        last = page.last
        if page.new or page.again or page.without:
            with catalog.write() as session:
                n_opened += _write(session, feature_set_id, page)


def count_texts(session: Session, feature_set_id: int | None) -> int:
    """Return how many videos have texts but not the feature that is made from them."""
    n_found, page = 0, _next_page(session, feature_set_id, 0)
    while page is not None:
        n_found += len(page.new) + len(page.again) + page.n_open
        page = _next_page(session, feature_set_id, page.last)
    return n_found


def _next_page(session: Session, feature_set_id: int | None, after: int) -> _Page | None:
    """Compare the videos behind an id with their features; None where there are no more."""
    made = (Feature.video_id == Video.id) & (Feature.feature_set_id == feature_set_id)
    rows = session.execute(
        select(Video.id, Video.caption, Feature.status, Feature.input_sha256, Feature.error_code)
        .outerjoin(Feature, made)
        .where(Video.id > after)
        .order_by(Video.id)
        .limit(PAGE)
    ).all()
    if not rows:
        return None
    page = _Page(last=rows[-1][0])
    captions = {video_id: caption for video_id, caption, *_ in rows}
    texts = _texts(session, captions, Feature.video_id.between(rows[0][0], page.last))
    for video_id, _caption, status, input_sha256, error_code in rows:
        said = texts[video_id]
        if not said:
            if status != "leased" and (status, error_code) != ("skipped", NO_TEXT):
                page.without.append(video_id)
        elif status is None:
            page.new.append(video_id)
        elif status not in SETTLED:
            page.n_open += 1
        elif input_sha256 is None or input_sha256 != hash_of(said):
            page.again.append(video_id)
    return page


def _write(session: Session, feature_set_id: int, page: _Page) -> int:
    """Open and close what `_next_page` found; return how many were opened."""
    key = {"feature_set_id": feature_set_id}
    opened = {"status": "pending", "attempts": 0}
    closed = {"status": "skipped", "error_code": NO_TEXT, "finished_at": utc_now()}
    # What another run has done meanwhile stands.
    added = insert_into(session, Feature).on_conflict_do_nothing()
    if page.new:
        session.execute(added, [key | opened | {"video_id": number} for number in page.new])
    if page.without:
        rows = [key | closed | {"attempts": 0, "video_id": number} for number in page.without]
        session.execute(added, rows)
    of_set = update(Feature).where(Feature.feature_set_id == feature_set_id)
    again = of_set.where(
        among(session, Feature.video_id, page.again), Feature.status.in_(SETTLED)
    ).values(**EMPTIED, **opened, error_code=None, finished_at=None)
    session.execute(again.execution_options(synchronize_session=False))
    without = of_set.where(
        among(session, Feature.video_id, page.without),
        Feature.status != "leased",
        or_(Feature.error_code.is_(None), Feature.error_code != NO_TEXT),
    ).values(**EMPTIED, **closed)
    session.execute(without.execution_options(synchronize_session=False))
    return len(page.new) + len(page.again)


def _texts(
    session: Session, captions: Mapping[int, str], of_videos: ColumnElement[bool]
) -> dict[int, Texts]:
    """Add to the captions of some videos what was heard and read of them."""
    found: dict[int, Texts] = {video_id: {} for video_id in captions}
    for video_id, caption in captions.items():
        _keep(found[video_id], "caption", caption)
    told = Feature.detail["text"].as_string()
    for part, kind in KIND_OF_PART.items():
        sets = session.scalars(
            select(FeatureSet.id).where(FeatureSet.kind == kind).order_by(FeatureSet.id)
        )
        # One set after the other, by its own key; of several the newest counts, even if it is
        # silent: only where it says nothing of words does an older one stand.
        for set_id in sets:
            rows = session.execute(
                select(Feature.video_id, Feature.status, told).where(
                    Feature.feature_set_id == set_id, of_videos
                )
            )
            # Asked for by its status, SQLite would look through all of the set that have it.
            for video_id, status, text in rows:
                if video_id in found and status == "done" and text is not None:
                    _keep(found[video_id], part, text)
    return found


def _keep(texts: Texts, part: str, text: str) -> None:
    """Note a part's text; an empty one takes away what an older feature set said."""
    if text := text.strip():
        texts[part] = text
    else:
        texts.pop(part, None)
