"""The step that extracts: compute one kind of feature where it is missing."""

import logging
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from catalog.console import Progress
from catalog.errors import NotFound
from catalog.facts import FeatureSetFacts, ModelFacts
from catalog.read import pending
from catalog.read.lookup import find_feature_set, find_model
from catalog.record.lineage import ensure_feature_set
from catalog.record.retention import move_rows, rows_in_shard
from catalog.schema.session import Catalog
from catalog.work.claims import (
    Failed,
    FeatureClaim,
    FeatureDone,
    NothingThere,
    block_features,
    claim_features,
    count_open,
    enrol_features,
    finish_feature,
    renew,
    retry_failed,
)
from catalog.work.runs import Outcome, RunInProgress, record_run
from features.engine import Stored, extract_batches
from features.errors import Absent, FeatureError, WeightsMissing
from features.extractor import Source
from features.plan import AUTOENCODER, Plan, clip_alias
from features.store import FeatureStore

log = logging.getLogger(__name__)

LEASE_S = 600.0  # a batch of long videos takes minutes on a slow machine; renewed per batch


def extract(
    catalog: Catalog,
    plan: Plan,
    *,
    data: Path,
    needs: FeatureSetFacts | None = None,
    workers: int,
    batch: int,
    progress: Progress,
    parent_id: int | None = None,
) -> Outcome:
    """Compute this plan's feature for every video that lacks it. Safe to stop and repeat.

    needs: the feature set whose stored tensors are the input (clips for `visual`); None reads
    media files. The shard is on disk before a row points at it.
    """
    spec = plan.spec()
    with catalog.write() as session:
        feature_set_id = ensure_feature_set(
            session,
            kind=spec.kind,
            config=spec.config,
            config_hash=spec.hash,
            extractor=spec.extractor,
            extractor_version=spec.extractor_version,
            weights_sha256=spec.weights_sha256,
        )
        enrol_features(
            session, feature_set_id, needs_feature_set_id=None if needs is None else needs.id
        )
        n_open = count_open(session, feature_set_id)

    params = {"kind": spec.kind, "feature_set": spec.hash[:12]}
    with record_run(catalog, f"extract-{spec.kind}", params=params, parent_id=parent_id) as run:
        run.expect(n_open)
        progress.expect(n_open)
        if n_open:
            _check_weights(catalog, plan, feature_set_id)
        waiting: dict[int, FeatureClaim] = {}
        batches = _claimed_batches(catalog, run, feature_set_id, data, batch, waiting)
        with closing(extract_batches(plan, batches, workers=workers)) as results:
            for finished in results:
                renew(catalog, run.uid, LEASE_S)
                for source, result in zip(finished.sources, finished.results, strict=True):
                    claim = waiting.pop(source.video_id)
                    _finish(catalog, run, feature_set_id, claim, result)
                    progress.advance()
    return run.outcome


def find_set(catalog: Catalog, plan: Plan) -> FeatureSetFacts | None:
    """Return the plan's feature set if something was ever extracted for it."""
    spec = plan.spec()
    with catalog.read() as session:
        return find_feature_set(session, spec.kind, spec.hash)


def count_to_extract(catalog: Catalog, plan: Plan, needs: FeatureSetFacts | None) -> int:
    """Count the videos that `extract` would take up now."""
    feature_set = find_set(catalog, plan)
    with catalog.read() as session:
        return pending.count_to_extract(
            session,
            None if feature_set is None else feature_set.id,
            needs_feature_set_id=None if needs is None else needs.id,
        )


def retry(catalog: Catalog, plan: Plan) -> int:
    """Open again what failed or was given up in the plan's feature set; returns how many."""
    feature_set = find_set(catalog, plan)
    if feature_set is None:
        return 0
    with catalog.write() as session:
        return retry_failed(session, feature_set.id, None)


def find_autoencoder(catalog: Catalog, clip_set: str) -> ModelFacts:
    """Return the newest autoencoder trained on clips of that feature set. Raises NotFound."""
    with catalog.read() as session:
        try:
            return find_model(session, name=AUTOENCODER, alias=clip_alias(clip_set))
        except NotFound as error:
            raise NotFound(
                "there is no autoencoder for these clip settings yet: run `viewcast pretrain`"
            ) from error


def drop_from_shard(catalog: Catalog, store: FeatureStore, uri: str) -> int:
    """Write a shard anew with only what the catalog still has in it; return how many rows that is.

    Who reads the old shard at that moment gets MissingInput, once. Safe to stop and repeat.
    """
    with catalog.read() as session:
        rows = rows_in_shard(session, uri)
    if rows:
        stored = store.rewrite(uri, [row.row for row in rows])
        if stored[0].uri == uri:  # everything in it is still wanted
            return len(rows)
        with catalog.write() as session:
            move_rows(session, uri, rows, [(new.uri, new.row) for new in stored])
    store.remove(uri)
    return len(rows)


def _check_weights(catalog: Catalog, plan: Plan, feature_set_id: int) -> None:
    """Fail before any claim when the weights are absent, and leave that fact in the catalog."""
    try:
        plan.check()
    except WeightsMissing as error:
        with catalog.write() as session:
            block_features(session, feature_set_id, error.code, str(error))
        raise


def _claimed_batches(
    catalog: Catalog,
    run: RunInProgress,
    feature_set_id: int,
    data: Path,
    batch: int,
    waiting: dict[int, FeatureClaim],
) -> Iterator[list[Source]]:
    """Claim batch after batch as the engine asks for them."""
    while claims := claim_features(
        catalog, feature_set_id, owner=run.uid, limit=batch, lease_s=LEASE_S
    ):
        waiting.update((claim.video_id, claim) for claim in claims)
        yield [_source(claim, data) for claim in claims]


def _source(claim: FeatureClaim, data: Path) -> Source:
    is_media = claim.input_row is None
    return Source(
        video_id=claim.video_id,
        tiktok_id=claim.tiktok_id,
        path=str(data / claim.input_uri) if is_media else None,
        uri=None if is_media else claim.input_uri,
        row=claim.input_row,
    )


def _finish(
    catalog: Catalog,
    run: RunInProgress,
    feature_set_id: int,
    claim: FeatureClaim,
    result: Stored | FeatureError,
) -> None:
    with catalog.write() as session:
        is_ours = finish_feature(session, feature_set_id, claim, run.uid, _recorded(result))
    if not is_ours:  # the lease ran out and another run has the video now; it will count it
        log.warning("video %s: the lease was lost, nothing recorded", claim.tiktok_id)
    elif isinstance(result, Stored):
        run.done()
    elif isinstance(result, Absent):
        run.skipped(claim.tiktok_id, result.code)
    else:
        run.failed(claim.tiktok_id, result.code, str(result))


def _recorded(result: Stored | FeatureError) -> FeatureDone | NothingThere | Failed:
    if isinstance(result, Stored):
        return FeatureDone(
            uri=result.row.uri,
            row=result.row.row,
            sha256=result.row.sha256,
            shape=result.row.shape,
            dtype=result.row.dtype,
            n_bytes=result.row.n_bytes,
            seconds=result.seconds,
            detail=result.detail,
        )
    if isinstance(result, Absent):
        return NothingThere(result.code, str(result))
    return Failed(result.code, str(result), permanent=result.permanent)
