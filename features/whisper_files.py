"""Which Whisper weights are where on this machine, and turning one kind of file into the other."""

import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
import whisper
from whisper.model import Whisper

from features.ct2 import WhisperTensors
from features.ct2_writer import write_container
from features.errors import FeatureError, WeightsMissing
from features.whisper_weights import (
    BASE_CONTAINER_SHA256,
    WeightsSources,
    checkpoint_sha256,
    find_weights,
    fingerprint,
    installed_parts,
    load_whisper,
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


def convert_weights(model: str, target: Path, sources: WeightsSources | None = None) -> str:
    """Write the weights that `load_whisper(model)` loads to a new file; return their fingerprint.

    A target that ends in .pt is written as a checkpoint, as OpenAI's; any other is made a folder
    with a CTranslate2 container, model.bin. What was written is read back before it gets its
    name. Raises FeatureError where something is in the way.
    """
    sources = sources or WeightsSources()
    is_checkpoint = target.suffix == ".pt"
    file = target if is_checkpoint else target / "model.bin"
    if file.exists():
        raise FeatureError(f"{file} is there already; name another, or remove it first")
    official = {Path(url).name for url in whisper._MODELS.values()}
    if file.name in official and file.parent.resolve() == sources.cache.resolve():
        raise FeatureError(
            f"{file} is where Whisper keeps its own download, which it would put in the place of a"
            " file with another hash; name another"
        )
    network = load_whisper(model, sources)
    expected = fingerprint(network)

    def check(written: Path) -> None:
        found = fingerprint(load_whisper(model, WeightsSources(path=written)))
        if found != expected:
            raise FeatureError(f"{file} came out with fingerprint {found}, expected {expected}")

    _write(file, _write_checkpoint if is_checkpoint else _write_container, network, check)
    return expected


def _write(
    file: Path,
    write: Callable[[Whisper, Path], None],
    network: Whisper,
    check: Callable[[Path], None],
) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    temporary = file.with_name(f".{file.name}.{os.getpid()}.part")
    try:
        write(network, temporary)
        check(temporary)
        temporary.replace(file)
    finally:
        temporary.unlink(missing_ok=True)


def _write_checkpoint(network: Whisper, file: Path) -> None:
    state = {name: t for name, t in network.state_dict().items() if not t.is_sparse}
    if all(torch.equal(t.half().to(t.dtype), t) for t in state.values()):
        state = {name: t.half() for name, t in state.items()}
    torch.save({"dims": vars(network.dims), "model_state_dict": state}, file)


def _write_container(network: Whisper, file: Path) -> None:
    state = {name: t for name, t in network.state_dict().items() if not t.is_sparse}
    file.write_bytes(write_container(WhisperTensors(vars(network.dims), state)))


def _sha256(files: tuple[Path, ...]) -> str:
    digest = hashlib.sha256()
    for file in files:
        with file.open("rb") as stream:
            while block := stream.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()
