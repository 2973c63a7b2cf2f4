"""Weights as one self-describing safetensors file: what it is, its settings, its tensors."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

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


def weights_sha256(path: Path) -> str:
    """Checksum the file. Raises WeightsMissing."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except FileNotFoundError as error:
        raise WeightsMissing(f"no weights file {path}") from error
