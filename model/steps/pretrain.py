"""Pre-train the autoencoder on the clips of a feature set."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from catalog.facts import ClipRef, FeatureSetFacts, ModelFacts
from catalog.lookup import find_model_by_inputs, newest_model
from catalog.pending import clip_refs
from catalog.progress import Progress
from catalog.record import add_model_version, set_alias
from catalog.runs import Outcome, Run, record_run
from catalog.session import Catalog
from features.convlstm import ConvLstmAutoencoder
from features.plan import AUTOENCODER, clip_alias
from features.store import FeatureStore
from model.pretraining import Epoch, PretrainConfig, pretrain, save_autoencoder
from model.steps.inputs import artifact_uris, hash_of, location

VAL_EVERY = 5  # every fifth clip validates


def pretrain_autoencoder(
    catalog: Catalog,
    clip_set: FeatureSetFacts,
    config: PretrainConfig,
    *,
    store: FeatureStore,
    data: Path,
    progress: Progress,
    again: bool = False,
    if_missing: bool = False,
    parent_id: int | None = None,
) -> tuple[Outcome, ModelFacts]:
    """Train the autoencoder on all clips of a feature set; once for the same clips and settings.

    if_missing: any autoencoder for this feature set will do. A killed training goes on from its
    last epoch.
    """
    with catalog.read() as session:
        clips = clip_refs(session, clip_set.id, split_id=None)
    hyper = asdict(config)
    inputs = hash_of(clip_set.config_hash, hyper, [clip.sha256 for clip in clips])
    params = {"clip_set": clip_set.config_hash[:12], **hyper}
    with record_run(catalog, "pretrain", params=params, parent_id=parent_id) as run:
        with catalog.read() as session:
            model = find_model_by_inputs(session, AUTOENCODER, inputs)
            if model is None and if_missing:
                alias = clip_alias(clip_set.config_hash)
                model = newest_model(session, AUTOENCODER, alias=alias)
        if model is not None and not again:
            run.skipped(f"{AUTOENCODER} {model.version}", "trained_before")
        else:
            run.expect(1)
            artifact, state = artifact_uris(AUTOENCODER, inputs, run.id if model else None)
            checkpoint = data / state
            network, best = _train(run, clips, config, store, checkpoint, progress)
            sha256 = save_autoencoder(data / artifact, network, {"inputs": inputs, **asdict(best)})
            with catalog.write() as session:
                model = add_model_version(
                    session,
                    name=AUTOENCODER,
                    model_kind="convlstm",
                    artifact_uri=artifact,
                    sha256=sha256,
                    hyper={**hyper, "objective": "reconstruction"},
                    target={},
                    quartile_edges=[],
                    split_id=None,
                    train_run_id=run.id,
                    feature_set_ids=[clip_set.id],
                    inputs_hash=inputs,
                )
                alias = clip_alias(clip_set.config_hash)
                set_alias(session, AUTOENCODER, alias, model.id, set_by="pretrain", reason="newest")
            checkpoint.unlink(missing_ok=True)
            run.done()
    return run.outcome, model


def _train(
    run: Run,
    clips: Sequence[ClipRef],
    config: PretrainConfig,
    store: FeatureStore,
    checkpoint: Path,
    progress: Progress,
) -> tuple[ConvLstmAutoencoder, Epoch]:
    """Train on four fifths of the clips; returns the network of the best epoch, and that epoch."""

    def read_clip(index: int) -> NDArray[np.uint8]:
        uri, row = location(clips[index])
        return store.read(uri, row)["frames"]

    def on_epoch(epoch: Epoch) -> None:
        run.metric("train", "mse_pixels", epoch.train_mse, step=epoch.number)
        run.metric("val", "mse_pixels", epoch.val_mse, step=epoch.number)
        progress.advance()
        progress.note(f"val {epoch.val_mse:,.0f}")

    progress.expect(config.epochs)
    network, curve = pretrain(
        read_clip,
        [index for index in range(len(clips)) if index % VAL_EVERY],
        [index for index in range(len(clips)) if index % VAL_EVERY == 0],
        config,
        checkpoint=checkpoint,
        on_epoch=on_epoch,
    )
    best = min(curve, key=lambda epoch: epoch.val_mse)
    run.metric("val", "mse_pixels", best.val_mse)
    return network, best
