"""From the catalog's rows to the tensors a network reads, and the hash that names them all."""

import hashlib
import json
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from catalog.facts import FeatureRef, TrainingRow
from features.store import FeatureStore
from model.batches import AudioShape, Dataset, Example, InputShapes, VisualShape
from model.fused import FusedConfig
from model.registry import Preset

WEIGHTS_FOLDER = "weights"
SETTLED = ("done", "skipped", "dead")
# Which tensor of a feature a preset reads. The paper averages over speech only (section 3.2).
TENSORS = {"visual": "embedding", "audio": "pooled_audio"}
PAPER_TENSORS = {"visual": "embedding", "audio": "pooled_speech"}


def read_example(
    video_id: int,
    features: Mapping[str, FeatureRef],
    views_k: float | None,
    store: FeatureStore,
    tensors: Mapping[str, str],
) -> Example:
    """Read one row's tensors; a feature that is absent is None, never zeros."""

    def read(feature: str) -> NDArray[np.floating] | None:
        ref = features.get(feature)
        if ref is None or ref.status != "done":
            return None
        uri, row = location(ref)
        return store.read(uri, row)[tensors[feature]]

    return Example(video_id, read("visual"), read("audio"), views_k)


def dataset_of(
    rows: Sequence[TrainingRow], store: FeatureStore, tensors: Mapping[str, str]
) -> Dataset[TrainingRow]:
    return Dataset(
        rows, lambda row: read_example(row.video_id, row.features, row.views_k, store, tensors)
    )


def lacks(features: Mapping[str, FeatureRef], needs: Sequence[str]) -> str | None:
    """Say why a row cannot be trained on, None when it can."""
    for feature, ref in features.items():
        if ref.status not in SETTLED:
            return f"{feature}_not_yet"
        if feature in needs and ref.status != "done":
            return f"no_{feature}"
    return None


def shapes_of(dataset: Dataset[TrainingRow], preset: Preset) -> InputShapes:
    """Find what the features look like from the first rows that have them."""
    visual: VisualShape | None = None
    audio: AudioShape | None = None
    for example in dataset:
        if visual is None and example.visual is not None:
            channels, height, width = example.visual.shape
            visual = channels, height, width
        if audio is None and example.audio is not None:
            states, width = example.audio.shape
            audio = states, width
        if visual is not None and audio is not None:
            break
    if audio is None and isinstance(preset.network, FusedConfig):
        # Where no training video has a sound track, the network keeps the size its preset names.
        audio = preset.network.audio_states, preset.network.audio_width
    return InputShapes(visual, audio)


def location(ref: FeatureRef) -> tuple[str, int]:
    assert ref.uri is not None  # a constraint of the catalog: what is done has a place
    assert ref.row is not None
    return ref.uri, ref.row


def artifact_uris(name: str, inputs_hash: str, again_run_id: int | None) -> tuple[str, str]:
    """Give the places of a training's result and of its unfinished state, by its inputs.

    again_run_id: the run that repeats a finished training. Its file stands beside the first one,
    whose checksum is on record and which may have come out of another version of torch.
    """
    stem = f"{WEIGHTS_FOLDER}/{name}-{inputs_hash[:16]}"
    again = "" if again_run_id is None else f"-{again_run_id}"
    return f"{stem}{again}.safetensors", f"{stem}.safetensors.state"


def hash_of(*parts: object) -> str:
    """Name everything that a result was made from by one hash."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()
