"""Open units of work: what is new, what has a new input, what is to be tried again."""

from sqlalchemy import text
from sqlalchemy.orm import Session

from catalog.errors import BadValue, NotFound
from catalog.leases import timed
from catalog.rows import n_changed
from catalog.tables import FeatureSet
from catalog.types import utc_now

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
OPEN_AGAIN = """
    UPDATE feature SET status = 'pending', attempts = 0, not_before = NULL, uri = NULL, row = NULL,
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


def enrol_media(session: Session) -> int:
    """Open a file to fetch for each of the site's videos that has none and is not gone.

    Returns how many. A video of another platform has the file that its import brought, or none.
    """
    sql = (
        "INSERT INTO media_file (video_id, kind, status, attempts)"
        " SELECT v.id, 'video', 'pending', 0 FROM video v WHERE v.gone_at IS NULL"
        " AND v.platform = 'tiktok'"
        " AND NOT EXISTS (SELECT 1 FROM media_file m"
        " WHERE m.video_id = v.id AND m.kind = 'video')"
        " ON CONFLICT DO NOTHING"
    )
    return n_changed(session, text(sql), {})


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
