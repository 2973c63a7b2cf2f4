"""Write features as content-addressed safetensors shards under a root and read single rows."""

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors import numpy as safetensors_numpy
from upath import UPath

from catalog.files import atomic_file
from features.errors import CorruptFeature, MissingInput

Row = Mapping[str, NDArray[Any]]

# What safetensors calls the types that extractors write.
DTYPES = {
    "U8": np.uint8,
    "I32": np.int32,
    "I64": np.int64,
    "F16": np.float16,
    "F32": np.float32,
    "F64": np.float64,
}


@dataclass(frozen=True)
class StoredRow:
    """Where one row lies, and how to tell that it is still the same.

    uri is relative to the store's root. sha256, n_bytes cover the row's tensors, not the shard.
    shape and dtype are those of the row's first tensor, the one its kind is known by.
    """

    uri: str
    row: int
    sha256: str
    n_bytes: int
    shape: tuple[int, ...]
    dtype: str


class FeatureStore:
    """Shards of features under one root: a local folder or any fsspec URL.

    Holds no open file and no cache, so it travels to worker processes as it is.
    """

    def __init__(self, root: str) -> None:
        self.root = root

    def write(self, kind: str, set_hash: str, rows: Sequence[Row]) -> list[StoredRow]:
        """Write one shard and return where each row lies in it.

        The shard is complete and on disk before its name can be seen. Writing the same rows again
        gives the same name and the same bytes. No rows, no shard.
        """
        if not rows:
            return []
        # asarray, because ascontiguousarray would give a scalar an axis of its own.
        dense = [{name: np.asarray(t, order="C") for name, t in row.items()} for row in rows]
        shard = safetensors_numpy.save(
            {f"{index}.{name}": t for index, row in enumerate(dense) for name, t in row.items()}
        )
        name = hashlib.sha256(shard).hexdigest()
        # The folder of a shard is one of 256 per feature set: a directory stays listable at 1e6.
        uri = f"{kind}/{set_hash[:16]}/{name[:2]}/{name}.safetensors"
        folder = self._local()
        if folder is None:
            target = UPath(self.root) / uri
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(shard)  # a PUT is atomic on an object store
        else:
            with atomic_file(folder / uri) as temporary:
                temporary.write_bytes(shard)
        return [_describe(uri, index, row) for index, row in enumerate(dense)]

    def read(self, uri: str, row: int, *, sha256: str | None = None) -> dict[str, NDArray[Any]]:
        """Read one row; only its own bytes (and the shard's header) are fetched.

        With sha256, the tensors must have that checksum. Raises MissingInput, CorruptFeature.
        """
        path = PurePosixPath(uri)
        if path.is_absolute() or ".." in path.parts:
            raise MissingInput(f"uri {uri!r} leaves the store; it must be relative to {self.root}")
        folder = self._local()
        try:
            if folder is None:
                tensors = _read_remote(UPath(self.root) / uri, row)
            else:
                tensors = _read_local(folder / uri, row)
        except FileNotFoundError as error:
            raise MissingInput(f"no shard {uri} under {self.root}") from error
        except (SafetensorError, ValueError, KeyError, UnicodeDecodeError) as error:
            raise CorruptFeature(f"shard {uri} cannot be read: {error}") from error
        if not tensors:
            raise CorruptFeature(f"shard {uri} has no row {row}")
        if sha256 is not None and (found := row_sha256(tensors)) != sha256:
            raise CorruptFeature(f"row {row} of {uri} has sha256 {found}, expected {sha256}")
        return tensors

    def rewrite(self, uri: str, rows: Sequence[int]) -> list[StoredRow]:
        """Write a shard's rows of these numbers as a shard of their own; the old one stays."""
        kind, set_hash = PurePosixPath(uri).parts[:2]
        return self.write(kind, set_hash, [self.read(uri, row) for row in rows])

    def remove(self, uri: str) -> None:
        """Delete a shard; one that is gone already is no error."""
        (UPath(self.root) / uri).unlink(missing_ok=True)

    def _local(self) -> Path | None:
        """The root as a local folder, or None where it is a remote one."""
        root = UPath(self.root)
        return Path(root.path) if root.protocol in ("", "file", "local") else None


def row_sha256(row: Row) -> str:
    """Checksum a row's tensors by name, type, shape and content, whatever shard they lie in."""
    digest = hashlib.sha256()
    for name in sorted(row):
        tensor = np.asarray(row[name])
        digest.update(f"{name}\0{tensor.dtype.str}\0{tensor.shape}\0".encode())
        digest.update(tensor.tobytes())
    return digest.hexdigest()


def _describe(uri: str, index: int, row: Row) -> StoredRow:
    first = next(iter(row.values()))
    return StoredRow(
        uri=uri,
        row=index,
        sha256=row_sha256(row),
        n_bytes=sum(tensor.nbytes for tensor in row.values()),
        shape=tuple(first.shape),
        dtype=str(first.dtype),
    )


def _read_local(path: Path, row: int) -> dict[str, NDArray[Any]]:
    """Read one row of a local shard through a memory map."""
    prefix = f"{row}."
    with safe_open(path, framework="numpy") as shard:
        return {
            name.removeprefix(prefix): shard.get_tensor(name)
            for name in shard.keys()  # noqa: SIM118 - not a mapping, it cannot be iterated
            if name.startswith(prefix)
        }


def _read_remote(path: UPath, row: int) -> dict[str, NDArray[Any]]:
    """Read one row of a remote shard by ranges: the header first, then the row's own bytes."""
    prefix = f"{row}."
    tensors: dict[str, NDArray[Any]] = {}
    with path.open("rb") as shard:
        header_size = int.from_bytes(shard.read(8), "little")
        header = cast(dict[str, dict[str, Any]], json.loads(shard.read(header_size)))
        for name, entry in header.items():
            if not name.startswith(prefix):
                continue
            start, end = entry["data_offsets"]
            shard.seek(8 + header_size + start)
            flat = np.frombuffer(shard.read(end - start), DTYPES[entry["dtype"]])
            if flat.size != math.prod(entry["shape"]):
                raise ValueError(f"tensor {name} is cut short")
            tensors[name.removeprefix(prefix)] = flat.reshape(entry["shape"]).copy()
    return tensors
