"""Pre-train the autoencoder on the clips of a feature set, or take over somebody's weights."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from catalog.console import Progress
from catalog.facts import ClipRef, FeatureSetFacts, ModelFacts
from catalog.read.lookup import find_model_by_inputs, newest_model
from catalog.read.pending import clip_refs
from catalog.record.lineage import add_model_version, set_alias
from catalog.schema.session import Catalog
from catalog.work.runs import Outcome, RunInProgress, record_run
from features.plan import AUTOENCODER, clip_alias
from features.store import FeatureStore
from features.video.visual import load_foreign_autoencoder
from features.weights import weights_sha256
from model.settings import PretrainConfig
from model.steps.figures import TrainingAlbum, run_folder
from model.steps.rows import artifact_uris, hash_of, location, only_one
from model.training.loop import EpochReport
from model.training.pretraining import Pretrained, pretrain, save_autoencoder
from model.training.world import World, precision_on

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
    world: World | None = None,
) -> tuple[Outcome, ModelFacts]:
    """Train the autoencoder on all clips of a feature set; once for the same clips and settings.

    if_missing: any autoencoder for this feature set will do. A killed training goes on from its
    last epoch. The best epoch becomes the model; the last one's weights and the figures lie in
    the run's folder. Raises Busy while another process is at the very same. Under
    `torchrun` the first process calls this and the others `assist_pretraining`.
    """
    world = world or World()
    hyper = {name: value for name, value in asdict(config).items() if name != "device"}
    with catalog.read() as session:
        clips = clip_refs(session, clip_set.id, split_id=None)
    inputs = hash_of(clip_set.config_hash, hyper, [clip.sha256 for clip in clips])
    params = {"clip_set": clip_set.config_hash[:12], **hyper}
    with (
        record_run(catalog, "pretrain", params=params, parent_id=parent_id) as run,
        only_one(data, AUTOENCODER, inputs),
    ):
        model = _trained_before(catalog, clip_set, inputs, if_missing=if_missing)
        is_there = model is not None and (data / model.artifact_uri).is_file()
        if model is not None and is_there and not again:
            world.tell(None)
            run.skipped(f"{AUTOENCODER} {model.version}", "trained_before")
        else:
            run.expect(1)
            artifact, state = artifact_uris(AUTOENCODER, inputs, run.id if model else None)
            world.tell({"state_file": str(data / state), "clips": [location(c) for c in clips]})
            hyper["computed_in"] = precision_on(config.precision, world.device)
            found = _train(
                run, clips, config, data / state, world, store=store, data=data, progress=progress
            )
            extra = {"inputs": inputs, "curve": found.curve_document()}
            sha256 = save_autoencoder(data / artifact, found.best, extra)
            last = run_folder(data, run.id) / "last.safetensors"
            save_autoencoder(last, found.last, extra)
            model = _register(catalog, run, clip_set, artifact, sha256, hyper, inputs)
            (data / state).unlink(missing_ok=True)
            run.done()
    return run.outcome, model


def _trained_before(
    catalog: Catalog, clip_set: FeatureSetFacts, inputs: str, *, if_missing: bool
) -> ModelFacts | None:
    """The version of these inputs, or (if_missing) the newest for these clips."""
    with catalog.read() as session:
        model = find_model_by_inputs(session, AUTOENCODER, inputs)
        if model is None and if_missing:
            model = newest_model(session, AUTOENCODER, alias=clip_alias(clip_set.config_hash))
        return model


def assist_pretraining(config: PretrainConfig, *, store: FeatureStore, world: World) -> None:
    """Do the part of every process but the first: its share of each batch. Writes nothing."""
    todo = world.tell(None)
    if todo is None:
        return
    places = todo["clips"]
    pretrain(
        lambda index: store.read(*places[index])["frames"],
        *_parts(len(places)),
        config,
        state_file=Path(todo["state_file"]),
        on_epoch=lambda _report: None,
        world=world,
    )


def import_autoencoder(
    catalog: Catalog,
    clip_set: FeatureSetFacts,
    path: Path,
    *,
    data: Path,
    normalised: bool = False,
) -> tuple[Outcome, ModelFacts]:
    """Make somebody's trained weights the autoencoder for the clips of a feature set.

    path: a state dict as .pt or safetensors, names ours or the research code's. The same file
    twice is one model version. Raises WeightsMissing, WeightsMismatch.
    """
    foreign_sha256 = weights_sha256(path)
    params = {
        "clip_set": clip_set.config_hash[:12],
        "from": path.name,
        "from_sha256": foreign_sha256,
        "normalised": normalised,
    }
    inputs = hash_of(clip_set.config_hash, "imported", foreign_sha256, normalised)
    with (
        record_run(catalog, "pretrain", params=params) as run,
        only_one(data, AUTOENCODER, inputs),
    ):
        with catalog.read() as session:
            model = find_model_by_inputs(session, AUTOENCODER, inputs)
        if model is not None:
            run.skipped(f"{AUTOENCODER} {model.version}", "imported_before")
            # Asked for by name: it is the one for these clips again.
            alias = clip_alias(clip_set.config_hash)
            with catalog.write() as session:
                set_alias(session, AUTOENCODER, alias, model.id, set_by="pretrain", reason="asked")
        else:
            run.expect(1)
            network = load_foreign_autoencoder(path, normalised=normalised)
            artifact, _state = artifact_uris(AUTOENCODER, inputs, None)
            sha256 = save_autoencoder(data / artifact, network, {"inputs": inputs, **params})
            hyper = {**asdict(network.config), **params}
            model = _register(catalog, run, clip_set, artifact, sha256, hyper, inputs)
            run.done()
    return run.outcome, model


def _train(
    run: RunInProgress,
    clips: Sequence[ClipRef],
    config: PretrainConfig,
    state_file: Path,
    world: World,
    *,
    store: FeatureStore,
    data: Path,
    progress: Progress,
) -> Pretrained:
    """Train on four fifths of the clips, tell the run every epoch, draw what came of it."""

    def read_clip(index: int) -> NDArray[np.uint8]:
        uri, row = location(clips[index])
        return store.read(uri, row)["frames"]

    def on_epoch(report: EpochReport) -> None:
        run.metric("train", "mse_pixels", report.train_loss, step=report.epoch)
        run.metric("val", "mse_pixels", report.loss, step=report.epoch)
        progress.advance()
        progress.note(f"val {report.loss:,.0f}")

    progress.expect(config.epochs)
    train, val = _parts(len(clips))
    album = TrainingAlbum(run_folder(data, run.id), read_clip, val)
    began = time.monotonic()
    found = pretrain(
        read_clip,
        train,
        val,
        config,
        state_file=state_file,
        on_epoch=on_epoch,
        on_network=album.add_epoch,
        world=world,
    )
    seconds = time.monotonic() - began
    run.metric("val", "mse_pixels", found.best_epoch.loss)
    if album.n_epochs:  # of this call; a resumed training that was finished has none
        run.metric("train", "clips_per_s", album.n_epochs * len(clips) / seconds)
    album.finish(found)
    return found


def _parts(n_clips: int) -> tuple[list[int], list[int]]:
    """Which clips train and which validate."""
    indices = range(n_clips)
    return [i for i in indices if i % VAL_EVERY], [i for i in indices if i % VAL_EVERY == 0]


def _register(
    catalog: Catalog,
    run: RunInProgress,
    clip_set: FeatureSetFacts,
    artifact: str,
    sha256: str,
    hyper: Mapping[str, Any],
    inputs: str,
) -> ModelFacts:
    """Add the model version that `extract visual` finds for these clips from now on."""
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
    return model
