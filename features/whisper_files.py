"""Which Whisper weights are where on this machine."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import whisper

from features.errors import WeightsMissing
from features.whisper_weights import (
    BASE_CONTAINER_SHA256,
    WeightsSources,
    checkpoint_sha256,
    find_weights,
    installed_parts,
)

#: unchecked: a named file may be anybody's; loading it (`weights verify`) tells its fingerprint.
HashState = Literal["right", "wrong", "unchecked"]


@dataclass(frozen=True)
class WeightsPlace:
    """Weights that were found. `place` is one of the places that are searched, in their order."""

    model: str
    place: Literal["setting", "cache", "package"]
    files: tuple[Path, ...]
    sha256: str
    state: HashState
    used: bool


def list_weights(model: str, sources: WeightsSources | None = None) -> list[WeightsPlace]:
    """List all weights of Whisper on this machine, and which `load_whisper(model)` would take.

    Reads every file through for its hash; loads, downloads and writes nothing.
    """
    sources = sources or WeightsSources()
    try:
        used = find_weights(model, sources).files
    except WeightsMissing:
        used = ()
    found: list[WeightsPlace] = []

    def note(
        name: str,
        place: Literal["setting", "cache", "package"],
        files: tuple[Path, ...],
        expected: str | None,
    ) -> None:
        sha256 = _sha256(files)
        state: HashState = "right" if sha256 == expected else "wrong"
        if expected is None:
            state = "unchecked"
        found.append(WeightsPlace(name, place, files, sha256, state, files == used))

    if sources.path is not None and used:
        note(model, "setting", used, None)
    # Two names of one file (large and large-v3) are one file.
    official = {Path(url).name: name for name, url in whisper._MODELS.items()}
    for file_name, name in sorted(official.items()):
        if (file := sources.cache / file_name).is_file():
            note(name, "cache", (file,), checkpoint_sha256(name))
    if parts := installed_parts(sources):
        note("base", "package", parts, BASE_CONTAINER_SHA256)
    return found


def _sha256(files: tuple[Path, ...]) -> str:
    digest = hashlib.sha256()
    for file in files:
        with file.open("rb") as stream:
            while block := stream.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()
