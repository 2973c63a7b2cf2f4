"""Read Whisper weights out of a CTranslate2 container, in memory, with nothing executed.

A container is the binary `model.bin` that CTranslate2 and faster-whisper use: a header, named
arrays, aliases. It is read strictly: a byte too few or too many, an array we have no place for or
a quantised one refuses the file, because a wrong weight would silently change every feature.
"""

import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import prod
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from features.errors import WeightsMismatch

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
