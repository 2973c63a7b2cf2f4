"""Take, renew and finish units of work, so that each is done once whoever dies on the way.

A unit is a row of `feature` or `media_file`. Its owner is a run's uid; each claim raises
`attempts`, and owner and attempt together are the fence: whoever finishes must still hold both.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import TextClause, bindparam, func, select, text, update
from sqlalchemy.orm import Session

from catalog.errors import BadValue, NotFound
from catalog.facts import SITE_PLATFORM
from catalog.schema.session import Catalog
from catalog.schema.tables import Feature, FeatureSet, MediaFile, Run, Video
from catalog.schema.types import UtcDateTime, n_changed, plain_json, utc_now
from catalog.work.texts import TEXT_KIND, hash_of, texts_of

LEASE_S = 600.0
MAX_ATTEMPTS = 3
# A killed process is seldom the row's fault, but a row that kills every process must end too.
MAX_CRASHES = 10
BACKOFF_S = 60.0
TABLES = ("feature", "media_file")

# The states are written out: with bound values SQLite cannot use the partial index, and a claim
# among a million rows takes 300 ms instead of 0.02 ms. The order is that of the index as well.
CLAIMABLE = """
    u.status IN ('pending', 'failed', 'leased')
    AND (
        u.status = 'pending'
        OR (u.status = 'failed' AND u.attempts < :max_attempts
            AND (u.not_before IS NULL OR u.not_before <= :now))
        OR (u.status = 'leased' AND u.lease_until < :now)
    )"""
TAKEN = "status = 'leased', lease_owner = :owner, lease_until = :until, attempts = attempts + 1"
WORN_OUT = """
    UPDATE {0} SET status = 'dead', lease_owner = NULL, lease_until = NULL, finished_at = :now,
        error_code = 'lease_expired', error = 'every process that took it died'
    WHERE status = 'leased' AND attempts >= :max_crashes AND {1}"""


@dataclass(frozen=True)
class MediaDone:
    """A fetched file; `uri` is relative to the media folder, `probe` what ffprobe said of it."""

    uri: str
    sha256: str
    n_bytes: int
    probe: Mapping[str, Any]


@dataclass(frozen=True)
class FeatureDone:
    """A stored feature: row `row` of the shard `uri`; `detail` holds facts readable in SQL."""

    uri: str
    row: int
    sha256: str
    shape: tuple[int, ...]
    dtype: str
    n_bytes: int
    seconds: float
    detail: Mapping[str, Any]


@dataclass(frozen=True)
class NothingThere:
    """There is nothing to fetch or extract; not an error, and not tried again."""

    code: str
    message: str


@dataclass(frozen=True)
class Failed:
    """It did not work; a permanent failure is not tried again."""

    code: str
    message: str
    permanent: bool


def timed(sql: str) -> TextClause:
    """Return `sql` with its bound times `:now` and `:until` made portable."""
    statement = text(sql)
    times = [name for name in ("now", "until") if f":{name}" in sql]
    return statement.bindparams(*(bindparam(name, type_=UtcDateTime()) for name in times))


def unfinished(result: NothingThere | Failed, attempt: int, now: datetime) -> dict[str, Any]:
    """Return the columns that a unit without a result gets: skipped, failed for now, or dead."""
    common = {"error_code": result.code, "error": result.message, "finished_at": now}
    if isinstance(result, NothingThere):
        return common | {"status": "skipped", "not_before": None}
    if result.permanent or attempt >= MAX_ATTEMPTS:
        return common | {"status": "dead", "not_before": None}
    wait_s = BACKOFF_S * 4.0 ** (attempt - 1)
    return common | {"status": "failed", "not_before": now + timedelta(seconds=wait_s)}


def take(
    session: Session,
    table: str,
    key: str,
    own: str,
    inner: str,
    owner: str,
    limit: int,
    lease_s: float,
    now: datetime | None,
    more: Mapping[str, int | str],
) -> dict[int, int]:
    """Lease the units that the SELECT `inner` finds; return the attempt of each by its key.

    own: the condition that a unit is of the set in question; more: what both bind.
    """
    moment = now or utc_now()
    worn_out = WORN_OUT.format(table, f"lease_until < :now AND {own}")
    own_values = {name: value for name, value in more.items() if f":{name}" in own}
    session.execute(timed(worn_out), {"now": moment, "max_crashes": MAX_CRASHES, **own_values})
    if session.get_bind().dialect.name == "postgresql":
        # Materialised, so that the planner can neither repeat the SELECT nor lock more than it.
        sql = (
            f"WITH c AS MATERIALIZED ({inner} FOR UPDATE OF u SKIP LOCKED)"
            f" UPDATE {table} SET {TAKEN.replace('attempts + 1', f'{table}.attempts + 1')}"
            f" FROM c WHERE {own} AND {table}.{key} = c.{key}"
            f" RETURNING {table}.{key}, {table}.attempts"
        )
    else:
        sql = (
            f"UPDATE {table} SET {TAKEN} WHERE {own} AND {key} IN ({inner})"
            f" RETURNING {key}, attempts"
        )
    values = {
        "owner": owner,
        "now": moment,
        "until": moment + timedelta(seconds=lease_s),
        "max_attempts": MAX_ATTEMPTS,
        "n": limit,
        **more,
    }
    return {row[0]: row[1] for row in session.execute(timed(sql), values)}


def renew(catalog: Catalog, owner: str, lease_s: float = LEASE_S) -> int:
    """Prolong every lease of `owner` to `lease_s` from now; return how many it holds."""
    with catalog.write() as session:
        return extend(session, owner, utc_now() + timedelta(seconds=lease_s))


def extend(session: Session, owner: str, until: datetime) -> int:
    """Let no lease of `owner` end before `until`; return how many were prolonged."""
    n_renewed = 0
    for table in TABLES:
        sql = (
            f"UPDATE {table} SET lease_until = :until WHERE status = 'leased'"
            " AND lease_owner = :owner AND lease_until < :until RETURNING 1"
        )
        rows = session.execute(timed(sql), {"owner": owner, "until": until})
        n_renewed += len(rows.all())
    return n_renewed


def give_back(session: Session, owner: str, *, crashed: bool) -> int:
    """Make the units of `owner` claimable by others at once; return how many that were.

    crashed: the attempt stays counted, so that a row which kills its process ends as dead.
    """
    n_freed = 0
    for table in TABLES:
        if crashed:
            session.execute(
                timed(WORN_OUT.format(table, "lease_owner = :owner")),
                {"owner": owner, "now": utc_now(), "max_crashes": MAX_CRASHES},
            )
        attempts = "attempts" if crashed else "attempts - 1"
        sql = (
            f"UPDATE {table} SET status = 'pending', lease_owner = NULL, lease_until = NULL,"
            f" attempts = {attempts} WHERE status = 'leased' AND lease_owner = :owner RETURNING 1"
        )
        n_freed += len(session.execute(text(sql), {"owner": owner}).all())
    return n_freed


# What a unit is made from, as one relation: whose, in which state, of which content.
MEDIA_INPUT = (
    "(SELECT video_id, sha256, error_code,"
    " CASE status WHEN 'ok' THEN 'done' ELSE status END AS status"
    " FROM media_file WHERE kind = 'video')"
)
FEATURE_INPUT = (
    "(SELECT video_id, sha256, error_code, status FROM feature WHERE feature_set_id = :input_set)"
)
NEW = "NOT EXISTS (SELECT 1 FROM feature f WHERE f.feature_set_id = :set_id AND f.video_id = {0})"
OPEN_NEW = f"""
    INSERT INTO feature (feature_set_id, video_id, status, attempts)
    SELECT :set_id, i.video_id, 'pending', 0 FROM {{inputs}} i
    WHERE i.status = 'done' AND {NEW.format("i.video_id")} ON CONFLICT DO NOTHING"""
# Its shard stays known: a row of it is there to be removed first.
OPEN_AGAIN = """
    UPDATE feature SET status = 'pending', attempts = 0, not_before = NULL, row = NULL,
        sha256 = NULL, shape = NULL, dtype = NULL, n_bytes = NULL, seconds = NULL, detail = NULL,
        input_sha256 = NULL, error_code = NULL, error = NULL, finished_at = NULL, run_id = NULL
    WHERE feature_set_id = :set_id AND status IN ('done', 'skipped', 'dead') AND EXISTS (
        SELECT 1 FROM {inputs} i WHERE i.video_id = feature.video_id AND i.status = 'done'
        AND (feature.input_sha256 IS NULL OR i.sha256 <> feature.input_sha256))"""
# Absent because its input is: a row of its own, so that a score need not wait for it for ever.
CLOSE_NEW = f"""
    INSERT INTO feature (feature_set_id, video_id, status, attempts, error_code, error, finished_at)
    SELECT :set_id, i.video_id, 'skipped', 0, 'no_input', i.error_code, :now FROM {{inputs}} i
    WHERE i.status IN ('skipped', 'dead') AND {NEW.format("i.video_id")} ON CONFLICT DO NOTHING"""
CLOSE_OPEN = """
    UPDATE feature SET status = 'skipped', not_before = NULL, error_code = 'no_input',
        error = NULL, finished_at = :now, input_sha256 = NULL
    WHERE feature_set_id = :set_id AND status IN ('pending', 'failed') AND EXISTS (
        SELECT 1 FROM {inputs} i WHERE i.video_id = feature.video_id
        AND i.status IN ('skipped', 'dead'))"""


# Of another platform's videos only some back-ends bring the file.
OF_SITE = " AND {0}.platform = :platform"


def enrol_media(session: Session, *, every_platform: bool = False) -> int:
    """Open a file to fetch for each of the site's videos that has none and is not gone.

    Returns how many. every_platform: other platforms' videos too, which otherwise have the file
    that their import brought, or none.
    """
    sql = (
        "INSERT INTO media_file (video_id, kind, status, attempts)"
        " SELECT v.id, 'video', 'pending', 0 FROM video v WHERE v.gone_at IS NULL"
        f"{'' if every_platform else OF_SITE.format('v')}"
        " AND NOT EXISTS (SELECT 1 FROM media_file m"
        " WHERE m.video_id = v.id AND m.kind = 'video')"
        " ON CONFLICT DO NOTHING"
    )
    return n_changed(session, text(sql), {} if every_platform else {"platform": SITE_PLATFORM})


def enrol_features(
    session: Session, feature_set_id: int, *, needs_feature_set_id: int | None
) -> int:
    """Open the features that can now be extracted, and again those whose input has changed.

    needs_feature_set_id: the set they are made from; None: the media files. Where the input
    itself cannot be had, the feature is skipped with the code `no_input`, until it can.
    Returns how many units were opened. Raises BadValue when the set is made from another one.
    """
    feature_set = session.get(FeatureSet, feature_set_id)
    if feature_set is None:
        raise NotFound(f"no feature set with id {feature_set_id}")
    _set_input(session, feature_set, needs_feature_set_id)
    values: dict[str, object] = {"set_id": feature_set_id}
    inputs = MEDIA_INPUT
    if needs_feature_set_id is not None:
        inputs = FEATURE_INPUT
        values["input_set"] = needs_feature_set_id
    opened = 0
    for sql in (OPEN_NEW, OPEN_AGAIN):
        opened += n_changed(session, text(sql.format(inputs=inputs)), values)
    for sql in (CLOSE_NEW, CLOSE_OPEN):
        n_changed(session, timed(sql.format(inputs=inputs)), values | {"now": utc_now()})
    return opened


def block_features(session: Session, feature_set_id: int, code: str, message: str) -> int:
    """Note why no open feature of a set can be made now; return how many that concerns.

    They keep their attempts and may be claimed as soon as the reason is gone.
    """
    sql = (
        "UPDATE feature SET status = 'failed', error_code = :code, error = :message,"
        " not_before = NULL WHERE feature_set_id = :set_id AND status IN ('pending', 'failed')"
    )
    values = {"set_id": feature_set_id, "code": code, "message": message}
    return n_changed(session, text(sql), values)


def retry_failed(session: Session, feature_set_id: int | None, code: str | None) -> int:
    """Open again what failed or died, with all its attempts; return how many units.

    feature_set_id: None means every feature set and the media files; code: None means any.
    """
    n_opened = 0
    for table in ("feature",) if feature_set_id is not None else ("feature", "media_file"):
        sql = (
            f"UPDATE {table} SET status = 'pending', attempts = 0, not_before = NULL,"
            " error_code = NULL, error = NULL, finished_at = NULL"
            " WHERE status IN ('failed', 'dead')"
        )
        values: dict[str, object] = {}
        if feature_set_id is not None:
            sql += " AND feature_set_id = :set_id"
            values["set_id"] = feature_set_id
        if code is not None:
            sql += " AND error_code = :code"
            values["code"] = code
        n_opened += n_changed(session, text(sql), values)
    return n_opened


def _set_input(session: Session, feature_set: FeatureSet, needs: int | None) -> None:
    if feature_set.input_set_id == needs:
        return
    if feature_set.input_set_id is not None:
        raise BadValue(
            f"feature set {feature_set.id} is made from set {feature_set.input_set_id}, not {needs}"
        )
    if needs is not None and session.get(FeatureSet, needs) is None:
        raise NotFound(f"no feature set with id {needs}")
    feature_set.input_set_id = needs
    session.flush()


# A unit whose input is being made anew is left alone until the input is there.
MEDIA_THERE = (
    "EXISTS (SELECT 1 FROM media_file i WHERE i.video_id = u.video_id"
    " AND i.kind = 'video' AND i.status = 'ok')"
)
INPUT_THERE = (
    "EXISTS (SELECT 1 FROM feature i WHERE i.feature_set_id = :input_set"
    " AND i.video_id = u.video_id AND i.status = 'done')"
)


@dataclass(frozen=True)
class MediaClaim:
    """A media file to fetch; ours until the lease ends."""

    media_id: int
    video_id: int
    tiktok_id: str
    url: str
    attempt: int
    duration_s: float | None
    platform: str


@dataclass(frozen=True)
class FeatureClaim:
    """A feature to extract from `input_uri`, or from `texts`; ours until the lease ends."""

    video_id: int
    tiktok_id: str
    attempt: int
    input_uri: str
    input_row: int | None
    input_sha256: str
    texts: Mapping[str, str] | None = None


def claim_media(
    catalog: Catalog,
    *,
    owner: str,
    limit: int,
    lease_s: float = LEASE_S,
    now: datetime | None = None,
    every_platform: bool = False,
) -> list[MediaClaim]:
    """Take up to `limit` files to fetch, in one short transaction; [] when none is to be had."""
    more: dict[str, int | str] = {} if every_platform else {"platform": SITE_PLATFORM}
    of_site = f" AND EXISTS (SELECT 1 FROM video v WHERE v.id = u.video_id{OF_SITE.format('v')})"
    with catalog.write() as session:
        inner = (
            f"SELECT u.id FROM media_file u WHERE {CLAIMABLE}{'' if every_platform else of_site}"
            " ORDER BY u.status, u.id LIMIT :n"
        )
        taken = take(session, "media_file", "id", "1 = 1", inner, owner, limit, lease_s, now, more)
        rows = session.execute(
            select(
                MediaFile.id,
                Video.id,
                Video.tiktok_id,
                Video.url,
                Video.duration_s,
                Video.platform,
            )
            .join(Video, Video.id == MediaFile.video_id)
            .where(MediaFile.id.in_(taken))
            .order_by(MediaFile.id)
        )
        return [
            MediaClaim(media_id, video_id, tiktok_id, url, taken[media_id], duration_s, platform)
            for media_id, video_id, tiktok_id, url, duration_s, platform in rows
        ]


def finish_media(
    session: Session, claim: MediaClaim, owner: str, result: MediaDone | NothingThere | Failed
) -> bool:
    """Write what became of a claim; False when it is no longer ours, and nothing was written."""
    now = utc_now()
    if isinstance(result, MediaDone):
        values: dict[str, Any] = {
            "status": "ok",
            "uri": result.uri,
            "sha256": result.sha256,
            "n_bytes": result.n_bytes,
            "probe": plain_json(result.probe),
            "error_code": None,
            "error": None,
            "not_before": None,
            "finished_at": now,
        }
    else:
        values = unfinished(result, claim.attempt, now)
    written = session.execute(
        update(MediaFile)
        .where(
            MediaFile.id == claim.media_id,
            MediaFile.status == "leased",
            MediaFile.lease_owner == owner,
            MediaFile.attempts == claim.attempt,
        )
        .values(**values, lease_owner=None, lease_until=None, run_id=_run_of(owner))
        .returning(MediaFile.id)
        .execution_options(synchronize_session=False)
    )
    return written.first() is not None


def claim_features(
    catalog: Catalog,
    feature_set_id: int,
    *,
    owner: str,
    limit: int,
    lease_s: float = LEASE_S,
    now: datetime | None = None,
    video_ids: Collection[int] | None = None,
) -> list[FeatureClaim]:
    """Take up to `limit` features to extract, in one short transaction; [] when there are none.

    video_ids: only of these videos.
    """
    with catalog.write() as session:
        feature_set = session.get(FeatureSet, feature_set_id)
        if feature_set is None:
            raise NotFound(f"no feature set with id {feature_set_id}")
        input_set = feature_set.input_set_id
        is_of_texts = feature_set.kind == TEXT_KIND
        there = MEDIA_THERE if input_set is None else INPUT_THERE
        if is_of_texts:  # what they are is read when the unit is taken
            there = "1 = 1"
        of_videos = ""
        if video_ids is not None:
            numbers = ", ".join(str(int(video_id)) for video_id in video_ids)
            of_videos = f" AND u.video_id IN ({numbers})"
        # What it was before is removed from its shard first, or nobody would find it there again.
        inner = (
            "SELECT u.video_id FROM feature u WHERE u.feature_set_id = :set_id"
            f" AND {CLAIMABLE} AND u.uri IS NULL AND {there}{of_videos}"
            " ORDER BY u.status, u.video_id LIMIT :n"
        )
        more = {"set_id": feature_set_id}
        if input_set is not None:
            more["input_set"] = input_set
        own = "feature_set_id = :set_id"
        taken = take(session, "feature", "video_id", own, inner, owner, limit, lease_s, now, more)
        if is_of_texts:
            return _claims_of_texts(session, taken)
        return [
            FeatureClaim(video_id, tiktok_id, taken[video_id], uri, row, sha256)
            for video_id, tiktok_id, uri, row, sha256 in _inputs(session, input_set, taken)
        ]


def _claims_of_texts(session: Session, taken: Mapping[int, int]) -> list[FeatureClaim]:
    texts = texts_of(session, taken)
    named = select(Video.id, Video.tiktok_id).where(Video.id.in_(taken)).order_by(Video.id)
    return [
        FeatureClaim(
            video_id,
            tiktok_id,
            taken[video_id],
            "",
            None,
            hash_of(texts[video_id]),
            texts[video_id],
        )
        for video_id, tiktok_id in session.execute(named)
    ]


def finish_feature(
    session: Session,
    feature_set_id: int,
    claim: FeatureClaim,
    owner: str,
    result: FeatureDone | NothingThere | Failed,
) -> bool:
    """Write what became of a claim; False when it is no longer ours, and nothing was written."""
    now = utc_now()
    if isinstance(result, FeatureDone):
        values: dict[str, Any] = {
            "status": "done",
            "uri": result.uri,
            "row": result.row,
            "sha256": result.sha256,
            "shape": list(result.shape),
            "dtype": result.dtype,
            "n_bytes": result.n_bytes,
            "seconds": result.seconds,
            "detail": plain_json(result.detail),
            "error_code": None,
            "error": None,
            "not_before": None,
            "finished_at": now,
        }
    else:
        values = unfinished(result, claim.attempt, now)
    written = session.execute(
        update(Feature)
        .where(
            Feature.feature_set_id == feature_set_id,
            Feature.video_id == claim.video_id,
            Feature.status == "leased",
            Feature.lease_owner == owner,
            Feature.attempts == claim.attempt,
        )
        .values(
            **values,
            input_sha256=claim.input_sha256,
            lease_owner=None,
            lease_until=None,
            run_id=_run_of(owner),
        )
        .returning(Feature.video_id)
        .execution_options(synchronize_session=False)
    )
    return written.first() is not None


def count_open(session: Session, feature_set_id: int) -> int:
    """Return how many features of a set are still to come: pending, leased or to be retried."""
    open_states = ("pending", "failed", "leased")
    counted = select(func.count()).where(
        Feature.feature_set_id == feature_set_id, Feature.status.in_(open_states)
    )
    return session.execute(counted).scalar_one()


def _inputs(session: Session, input_set: int | None, video_ids: dict[int, int]) -> list[Any]:
    if input_set is None:
        wanted = (
            select(Video.id, Video.tiktok_id, MediaFile.uri, text("NULL"), MediaFile.sha256)
            .join(MediaFile, MediaFile.video_id == Video.id)
            .where(MediaFile.kind == "video")
        )
    else:
        wanted = (
            select(Video.id, Video.tiktok_id, Feature.uri, Feature.row, Feature.sha256)
            .join(Feature, Feature.video_id == Video.id)
            .where(Feature.feature_set_id == input_set)
        )
    rows = session.execute(wanted.where(Video.id.in_(video_ids)).order_by(Video.id))
    return list(rows)


def _run_of(owner: str) -> Any:
    return select(Run.id).where(Run.uid == owner).scalar_subquery()
