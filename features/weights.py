"""Weights as one self-describing safetensors file: what it is, its settings, its tensors."""

import hashlib
import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError  # noqa: TID251 - named to be caught; nothing is unpickled here
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors import torch as safetensors_torch
from torch import Tensor

from features.errors import WeightsMismatch, WeightsMissing
from features.store import atomic_file

FORMAT = 1  # raised when a file of today could no longer be read as it was meant


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
    """Write the file whole or not at all; return its sha256. The same content, the same file."""
    dense = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    document = {"format": FORMAT, "kind": kind, "config": config, "extra": extra or {}}
    # One entry only: safetensors writes several in an order that changes from call to call.
    metadata = {"viewcast": json.dumps(document, sort_keys=True)}
    with atomic_file(path) as temporary:
        safetensors_torch.save_file(dense, temporary, metadata)
        return weights_sha256(temporary)


def load_weights(path: Path, kind: str | None = None) -> Weights:
    """Read the file. Raises WeightsMissing, and WeightsMismatch for another kind or no weights."""
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no mapping
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
    for name in ("model_state_dict", "state_dict", "model"):
        if isinstance(content, dict) and isinstance(content.get(name), dict):
            content = content[name]
    if not isinstance(content, dict) or not content:
        raise WeightsMismatch(f"{path} holds no state dict")
    others = [name for name, value in content.items() if not isinstance(value, Tensor)]
    if others:
        raise WeightsMismatch(f"{path} holds more than tensors: {others[:3]}")
    return {str(name).removeprefix("module."): value for name, value in content.items()}


def weights_sha256(path: Path) -> str:
    """Checksum the file. Raises WeightsMissing."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except FileNotFoundError as error:
        raise WeightsMissing(f"no weights file {path}") from error
