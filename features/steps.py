"""The step that extracts: compute kinds of features where they are missing."""

import logging
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from catalog.console import Progress
from catalog.errors import NotFound
from catalog.facts import FeatureSetFacts, ModelFacts
from catalog.read import pending
from catalog.read.lookup import find_feature_set, find_model
from catalog.record.lineage import ensure_feature_set
from catalog.record.retention import forget_shard, move_rows, rows_in_shard, shards_left
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
from catalog.work.texts import TEXT_KIND, count_texts, enrol_texts
from features.engine import Stored, extract_batches
from features.errors import Absent, FeatureError, MissingInput, WeightsMissing
from features.extractor import FeatureSetSpec, Source
from features.plan import AUTOENCODER, Plan, clip_alias
from features.store import FeatureStore

log = logging.getLogger(__name__)

LEASE_S = 600.0  # a batch of long videos takes minutes on a slow machine; renewed per batch


def extract(
    catalog: Catalog,
    plans: Sequence[Plan],
    *,
    data: Path,
    needs: FeatureSetFacts | None = None,
    left_out: Mapping[str, str] | None = None,
    workers: int,
    batch: int,
    progress: Progress,
    parent_id: int | None = None,
) -> Outcome:
    """Compute these plans' features for every video that lacks them. Safe to stop and repeat.

    Several plans are of media files, and each file is opened once for all that it lacks.
    needs: the feature set whose stored tensors are the input (clips for `visual`); None reads
    media files. left_out: kinds that are not made, and why; kept with the run. The shard is on
    disk before a row points at it. Where the weights of one kind are missing, the others are made
    first, and then it is raised.
    """
    named = [(plan.spec(), plan) for plan in plans]
    specs = {spec.kind: spec for spec, _plan in named}
    by_kind = {spec.kind: plan for spec, plan in named}
    enrolled = {kind: _enrol(catalog, spec, needs) for kind, spec in specs.items()}
    for spec, plan in named:
        _drop_outdated(catalog, FeatureStore(plan.store_root), enrolled[spec.kind][0])
    set_ids = {kind: set_id for kind, (set_id, _n) in enrolled.items()}
    n_open = {kind: n for kind, (_id, n) in enrolled.items()}
    params: dict[str, Any] = {"kind": ",".join(specs), "feature_set": _names(specs)}
    if left_out:
        params["left_out"] = dict(left_out)
    name = f"extract-{next(iter(specs))}" if len(specs) == 1 else "extract"
    with record_run(catalog, name, params=params, parent_id=parent_id) as run:
        run.expect(sum(n_open.values()))
        progress.expect(sum(n_open.values()))
        blocked = {
            kind: error
            for kind, plan in by_kind.items()
            if n_open[kind] and (error := _lacks_weights(catalog, plan, set_ids[kind]))
        }
        set_ids = {kind: set_id for kind, set_id in set_ids.items() if kind not in blocked}
        by_kind = {kind: plan for kind, plan in by_kind.items() if kind not in blocked}
        waiting: dict[tuple[int, str], FeatureClaim] = {}
        batches = _claimed_batches(catalog, run, set_ids, data, batch, waiting)
        with closing(extract_batches(by_kind, batches, workers=workers)) as finished:
            for one in finished:
                renew(catalog, run.uid, LEASE_S)
                for source, results in zip(one.sources, one.results, strict=True):
                    for kind, result in results.items():
                        claim = waiting.pop((source.video_id, kind))
                        _finish(catalog, run, set_ids[kind], claim, result)
                        progress.advance()
        for error in blocked.values():
            raise error
    return run.outcome


def _enrol(
    catalog: Catalog, spec: FeatureSetSpec, needs: FeatureSetFacts | None
) -> tuple[int, int]:
    """Open what lacks the feature; return the id of its set, and how many are open."""
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
        if spec.kind != TEXT_KIND:
            needs_id = None if needs is None else needs.id
            enrol_features(session, feature_set_id, needs_feature_set_id=needs_id)
            return feature_set_id, count_open(session, feature_set_id)
    enrol_texts(catalog, feature_set_id)
    with catalog.read() as session:
        return feature_set_id, count_open(session, feature_set_id)


def _drop_outdated(catalog: Catalog, store: FeatureStore, feature_set_id: int) -> None:
    """Remove from their shards what is to be made anew, so that a purge need not look for it."""
    with catalog.read() as session:
        uris = shards_left(session, feature_set_id)
    for uri in uris:
        try:
            drop_from_shard(catalog, store, uri)
        except FeatureError as error:  # no fault of what is to be made now
            log.warning("an outdated row stays in a shard that cannot be written anew: %s", error)
        with catalog.write() as session:
            forget_shard(session, feature_set_id, uri)


def _names(specs: Mapping[str, FeatureSetSpec]) -> str:
    return ",".join(spec.hash[:12] for spec in specs.values())


def find_set(catalog: Catalog, plan: Plan) -> FeatureSetFacts | None:
    """Return the plan's feature set if something was ever extracted for it."""
    spec = plan.spec()
    with catalog.read() as session:
        return find_feature_set(session, spec.kind, spec.hash)


@dataclass(frozen=True)
class SetState:
    """How a feature set stands to what is made now: current, stale, or of other settings.

    why: of a stale one, in words; None otherwise.
    """

    name: Literal["current", "stale", "other settings", "unknown"]
    why: str | None = None


def states_of(
    catalog: Catalog, rows: Sequence[Mapping[str, Any]], current: Mapping[str, FeatureSetSpec]
) -> list[SetState]:
    """Tell which feature sets new videos still get. rows: sets by kind and config_hash.

    current: what the settings make on this machine, by kind; of others nothing is known. Stale is
    what another version of its extractor made, by whatever settings, and what is made of such.
    """
    with catalog.read() as session:
        found = [find_feature_set(session, row["kind"], row["config_hash"]) for row in rows]
    sets = {facts.id: facts for facts in found if facts is not None}

    def state(facts: FeatureSetFacts | None) -> SetState:
        if facts is None:
            return SetState("unknown")
        spec = current.get(facts.kind)
        if spec is not None and facts.config_hash == spec.hash:
            return SetState("current")
        made_by = facts.extractor, facts.extractor_version
        if spec is not None and made_by != (spec.extractor, spec.extractor_version):
            now = f"{spec.extractor} {spec.extractor_version}"
            return SetState("stale", f"made by {' '.join(made_by)}, now it is {now}")
        made_of = sets.get(facts.input_set_id or 0)
        if made_of is not None and state(made_of).name == "stale":
            return SetState("stale", f"made of {made_of.kind} that is stale")
        return SetState("unknown" if spec is None else "other settings")

    return [state(facts) for facts in found]


def count_to_extract(catalog: Catalog, plan: Plan, needs: FeatureSetFacts | None) -> int:
    """Count the videos that `extract` would take up now."""
    feature_set = find_set(catalog, plan)
    set_id = None if feature_set is None else feature_set.id
    with catalog.read() as session:
        if plan.spec().kind == TEXT_KIND:
            return count_texts(session, set_id)
        needs_id = None if needs is None else needs.id
        return pending.count_to_extract(session, set_id, needs_feature_set_id=needs_id)


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
        try:
            stored = store.rewrite(uri, [row.row for row in rows])
        except MissingInput:
            with catalog.read() as session:
                if rows_in_shard(session, uri):
                    raise
            return len(rows)  # another process has just done it
        if stored[0].uri == uri:  # everything in it is still wanted
            return len(rows)
        with catalog.write() as session:
            move_rows(session, uri, rows, [(new.uri, new.row) for new in stored])
    store.remove(uri)
    return len(rows)


def _lacks_weights(catalog: Catalog, plan: Plan, feature_set_id: int) -> WeightsMissing | None:
    """Tell before any claim when the weights are absent, and leave that fact in the catalog."""
    try:
        plan.check()
    except WeightsMissing as error:
        with catalog.write() as session:
            block_features(session, feature_set_id, error.code, str(error))
        return error
    return None


def _claimed_batches(
    catalog: Catalog,
    run: RunInProgress,
    set_ids: Mapping[str, int],
    data: Path,
    batch: int,
    waiting: dict[tuple[int, str], FeatureClaim],
) -> Iterator[list[Source]]:
    """Claim batch after batch as the engine asks for them: of each video all kinds it lacks."""

    def claim(kind: str, video_ids: Collection[int] | None = None) -> list[FeatureClaim]:
        return claim_features(
            catalog,
            set_ids[kind],
            owner=run.uid,
            limit=batch,
            lease_s=LEASE_S,
            video_ids=video_ids,
        )

    for leading in set_ids:
        while claims := claim(leading):
            found = {leading: claims}
            for kind in set_ids.keys() - {leading}:
                found[kind] = claim(kind, [one.video_id for one in claims])
            yield _sources(found, data, waiting)


def _sources(
    claims: Mapping[str, Sequence[FeatureClaim]],
    data: Path,
    waiting: dict[tuple[int, str], FeatureClaim],
) -> list[Source]:
    """One source a video and input, with the kinds that were claimed of it."""
    kinds: dict[tuple[int, str, str], list[str]] = {}
    first: dict[tuple[int, str, str], FeatureClaim] = {}
    for kind, found in claims.items():
        for claim in found:
            waiting[claim.video_id, kind] = claim
            # A file that was fetched again in between is another input.
            place = (claim.video_id, claim.input_uri, claim.input_sha256)
            kinds.setdefault(place, []).append(kind)
            first.setdefault(place, claim)
    return [_source(claim, data, frozenset(kinds[place])) for place, claim in first.items()]


def _source(claim: FeatureClaim, data: Path, kinds: frozenset[str]) -> Source:
    is_media = claim.input_row is None and claim.texts is None
    return Source(
        video_id=claim.video_id,
        tiktok_id=claim.tiktok_id,
        path=str(data / claim.input_uri) if is_media else None,
        uri=None if claim.input_row is None else claim.input_uri,
        row=claim.input_row,
        texts=claim.texts,
        kinds=kinds,
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
