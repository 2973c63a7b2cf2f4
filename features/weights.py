"""Weights as one self-describing safetensors file: what it is, its settings, its tensors."""

import hashlib
import json
import struct
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError  # noqa: TID251 - named to be caught; nothing is unpickled here
from typing import Any, Final

import torch
from safetensors import SafetensorError, safe_open
from safetensors import torch as safetensors_torch
from torch import Tensor

from catalog.files import atomic_file, sha256_of
from features.errors import WeightsMismatch, WeightsMissing

FORMAT = 1  # raised when a file of today could no longer be read as it was meant
#: Bytes. Where torch puts its own tensors; a matrix product over weights that lie elsewhere adds up
#: in another order, and its last digits differ.
ALIGNMENT: Final = 64
#: What the format calls the types of numbers.
DTYPES: Final = {
    torch.float64: "F64",
    torch.float32: "F32",
    torch.float16: "F16",
    torch.bfloat16: "BF16",
    torch.int64: "I64",
    torch.int32: "I32",
    torch.int16: "I16",
    torch.int8: "I8",
    torch.uint8: "U8",
    torch.bool: "BOOL",
}


@dataclass(frozen=True)
class Weights:
    """What a weights file holds; `extra` is whatever its writer wanted to keep beside it."""

    kind: str
    config: Mapping[str, Any]
    tensors: Mapping[str, Tensor]
    extra: Mapping[str, Any]
    sha256: str


def save_weights(
    path: Path,
    kind: str,
    config: Mapping[str, Any],
    tensors: Mapping[str, Tensor],
    extra: Mapping[str, Any] | None = None,
) -> str:
    """Write the file whole or not at all; return its sha256. The same content, the same file.

    Needs no memory of the tensors' size: what lies dense on the CPU is written from where it lies.
    """
    document = {"format": FORMAT, "kind": kind, "config": config, "extra": extra or {}}
    metadata = {"viewcast": json.dumps(document, sort_keys=True)}
    with atomic_file(path) as temporary:
        return write_tensors(temporary, tensors, metadata)


def write_tensors(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> str:
    """Write a safetensors file whose tensors can be used where they lie; return its sha256.

    safetensors' own writer puts them at any multiple of their number's size. The format allows no
    gaps, so those that fill whole units of ALIGNMENT come first, and few are left unaligned.
    """
    sizes = {name: tensor.numel() * tensor.element_size() for name, tensor in tensors.items()}
    order = sorted(tensors, key=lambda name: (sizes[name] % ALIGNMENT > 0, -sizes[name], name))
    header: dict[str, object] = {"__metadata__": dict(metadata)}
    end = 0
    for name in order:
        begin, end = end, end + sizes[name]
        header[name] = {
            "dtype": DTYPES[tensors[name].dtype],
            "shape": list(tensors[name].shape),
            "data_offsets": [begin, end],
        }
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-(8 + len(text)) % ALIGNMENT)
    digest = hashlib.sha256()
    with path.open("wb") as file:
        for part in (struct.pack("<Q", len(text)), text):
            digest.update(part)
            file.write(part)
        for name in order:
            dense = tensors[name].detach().cpu().contiguous().reshape(-1).view(torch.uint8)
            digest.update(dense.numpy().data)
            file.write(dense.numpy().data)
    return digest.hexdigest()


def map_tensors(path: Path) -> dict[str, Tensor]:
    """Map the tensors of a safetensors file: they take no memory until they are written to.

    The few that the file does not align are copied. Raises WeightsMissing, WeightsMismatch.
    """
    try:
        with safe_open(path, framework="pt") as file:
            return _mapped(file)
    except FileNotFoundError as error:
        raise WeightsMissing(f"no weights file {path}") from error
    except (SafetensorError, ValueError) as error:
        raise WeightsMismatch(f"{path} is no file of tensors: {error}") from error


def _mapped(file: Any) -> dict[str, Tensor]:
    found = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no mapping
    return {
        name: tensor.clone() if tensor.data_ptr() % ALIGNMENT else tensor
        for name, tensor in found.items()
    }


def load_weights(path: Path, kind: str | None = None) -> Weights:
    """Read the file; its tensors are mapped, as by `map_tensors`.

    Raises WeightsMissing, and WeightsMismatch for another kind or no weights.
    """
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = _mapped(file)
        document = json.loads(metadata["viewcast"])
        if document["format"] != FORMAT:
            raise ValueError(f"format {document['format']!r}, this version reads {FORMAT}")
        found = Weights(
            kind=document["kind"],
            config=document["config"],
            tensors=tensors,
            extra=document["extra"],
            sha256=weights_sha256(path),
        )
    except FileNotFoundError as error:
        raise WeightsMissing(f"no weights file {path}") from error
    except (SafetensorError, KeyError, TypeError, ValueError) as error:
        raise WeightsMismatch(f"{path} is not a weights file of viewcast: {error}") from error
    if kind is not None and found.kind != kind:
        raise WeightsMismatch(f"{path} holds weights of {found.kind!r}, expected {kind!r}")
    return found


def load_foreign(path: Path) -> dict[str, Tensor]:
    """Read somebody else's state dict: safetensors, or what torch.save wrote. Runs no code of it.

    A state dict inside a checkpoint ("model_state_dict", "state_dict", "model") is found, and the
    "module." of a distributed training taken off its names. Raises WeightsMissing, WeightsMismatch.
    """
    return load_foreign_network(path)[0]


def load_foreign_network(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """As `load_foreign`, with the "config" that the checkpoint holds beside; empty: it has none."""
    try:
        content: object = (
            torch.load(path, map_location="cpu", weights_only=True)  # noqa: TID251 - foreign files are .pt; weights_only builds tensors and plain containers and nothing else
            if zipfile.is_zipfile(path)
            else safetensors_torch.load_file(path)
        )
    except FileNotFoundError as error:
        raise WeightsMissing(f"no weights file {path}") from error
    except (SafetensorError, UnpicklingError, RuntimeError, OSError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise WeightsMismatch(f"{path} is no file of tensors: {reason}") from error
    config = content.get("config") if isinstance(content, dict) else None
    for name in ("model_state_dict", "state_dict", "model"):
        if isinstance(content, dict) and isinstance(content.get(name), dict):
            content = content[name]
    if not isinstance(content, dict) or not content:
        raise WeightsMismatch(f"{path} holds no state dict")
    others = [name for name, value in content.items() if not isinstance(value, Tensor)]
    if others:
        raise WeightsMismatch(f"{path} holds more than tensors: {others[:3]}")
    tensors = {str(name).removeprefix("module."): value for name, value in content.items()}
    return tensors, dict(config) if isinstance(config, dict) else {}


def weights_sha256(path: Path) -> str:
    """Checksum the file. Raises WeightsMissing."""
    try:
        return sha256_of(path)
    except FileNotFoundError as error:
        raise WeightsMissing(f"no weights file {path}") from error
