"""The feature store: what is read is what was written, whole or not at all."""

import hashlib
import os
import threading
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as numpy_strategies
from safetensors import numpy as safetensors_numpy
from upath import UPath

from features.errors import CorruptFeature, MissingInput
from features.store import FeatureStore, row_sha256

TENSORS = numpy_strategies.arrays(
    dtype=st.sampled_from([np.uint8, np.float16, np.float32, np.float64, np.int32, np.int64]),
    shape=numpy_strategies.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4),
)
ROWS = st.lists(
    st.dictionaries(st.sampled_from(["clip", "embedding", "pooled"]), TENSORS, min_size=1),
    min_size=1,
    max_size=12,
)


@pytest.fixture(params=["local", "memory"])
def store(request, tmp_path) -> FeatureStore:
    if request.param == "local":
        return FeatureStore(str(tmp_path / "store"))
    return FeatureStore(f"memory://{tmp_path.name}")


def same(left: dict[str, np.ndarray], right: dict[str, np.ndarray]) -> bool:
    """Compare to the bit, NaN payloads included."""
    return left.keys() == right.keys() and all(
        left[n].dtype == right[n].dtype
        and left[n].shape == right[n].shape
        and left[n].tobytes() == right[n].tobytes()
        for n in left
    )


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(rows=ROWS)
def test_rows_come_back_bit_for_bit(store, rows):
    stored = store.write("clip", "ab" * 32, rows)
    assert [s.row for s in stored] == list(range(len(rows)))
    for row, place in zip(rows, stored, strict=True):
        found = store.read(place.uri, place.row, sha256=place.sha256)
        assert same(found, row)
        assert place.sha256 == row_sha256(row)
        assert place.n_bytes == sum(t.nbytes for t in row.values())
        first = next(iter(row.values()))
        assert (place.shape, place.dtype) == (first.shape, str(first.dtype))


def test_a_row_s_checksum_does_not_depend_on_its_shard(store):
    row = {"clip": np.arange(12, dtype=np.uint8).reshape(3, 4)}
    other = {"clip": np.zeros(5, np.uint8)}
    alone, together = store.write("clip", "h", [row])[0], store.write("clip", "h", [other, row])[1]
    assert alone.sha256 == together.sha256
    assert alone.uri != together.uri


@pytest.mark.parametrize(
    "change",
    [
        lambda clip: {"clip": clip.reshape(4, 3)},
        lambda clip: {"clip": clip.reshape(12)},
        lambda clip: {"clip": clip.view(np.float64)},
        lambda clip: {"clip": clip + 1},
        lambda clip: {"embedding": clip},
    ],
    ids=["shape", "axes", "type", "content", "name"],
)
def test_a_checksum_covers_name_type_shape_and_content(store, change):
    row = {"clip": np.arange(12).reshape(3, 4)}
    place = store.write("clip", "h", [change(row["clip"])])[0]
    with pytest.raises(CorruptFeature, match="sha256"):
        store.read(place.uri, 0, sha256=row_sha256(row))


def test_the_same_rows_have_the_same_name(store):
    rows = [{"clip": np.arange(6.0)}]
    assert store.write("clip", "h", rows) == store.write("clip", "h", rows)


def test_a_shard_is_named_by_its_content_in_one_of_256_folders_of_its_set(store):
    place = store.write("clip", "0123456789abcdef" * 4, [{"clip": np.zeros(1)}])[0]
    shard = (UPath(store.root) / place.uri).read_bytes()
    name = hashlib.sha256(shard).hexdigest()
    assert place.uri == f"clip/0123456789abcdef/{name[:2]}/{name}.safetensors"
    assert store.rewrite(place.uri, [0])[0] == place


@pytest.mark.parametrize("scheme", ["", "file://", "local://"])
def test_a_local_folder_is_written_in_one_step_however_it_is_named(tmp_path, monkeypatch, scheme):
    replace, named = os.replace, []

    def note(source, target):
        named.append(Path(target))
        replace(source, target)

    monkeypatch.setattr(os, "replace", note)
    place = FeatureStore(f"{scheme}{tmp_path}").write("clip", "h", [{"clip": np.zeros(1)}])[0]
    assert named == [tmp_path / place.uri]


def test_no_rows_make_no_shard(store):
    assert store.write("clip", "h", []) == []
    assert not list(UPath(store.root).rglob("*.safetensors"))


def test_views_into_bigger_arrays_are_stored_as_they_look(store):
    big = np.arange(24).reshape(4, 6)
    place = store.write("clip", "h", [{"clip": big[::2, ::-1].T}])[0]
    np.testing.assert_array_equal(store.read(place.uri, 0)["clip"], big[::2, ::-1].T)
    assert place.shape == (6, 2)


def test_a_shard_that_is_not_there_is_missing(store):
    with pytest.raises(MissingInput, match="nowhere"):
        store.read("clip/h/nowhere.safetensors", 0)


def test_a_row_that_is_not_there_is_corrupt(store):
    place = store.write("clip", "h", [{"clip": np.zeros(1)}])[0]
    with pytest.raises(CorruptFeature, match="no row 1"):
        store.read(place.uri, 1)


@pytest.mark.parametrize("uri", ["/etc/passwd", "clip/../../x.safetensors"])
def test_a_uri_cannot_leave_the_root(store, uri):
    with pytest.raises(MissingInput, match="leaves the store"):
        store.read(uri, 0)


@pytest.mark.parametrize("keep", [0, 5, 60, -1])
def test_a_damaged_shard_is_corrupt_and_never_wrong_numbers(store, keep):
    place = store.write("clip", "h", [{"clip": np.arange(50.0)}])[0]
    path = UPath(store.root) / place.uri
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(CorruptFeature):
        store.read(place.uri, 0, sha256=place.sha256)


@pytest.mark.parametrize("n_bytes_lost", [8, 392])
def test_a_remote_row_cut_short_is_named_without_any_checksum(tmp_path, n_bytes_lost):
    store = FeatureStore(f"memory://{tmp_path.name}")
    place = store.write("clip", "h", [{"clip": np.arange(50.0)}])[0]
    path = UPath(store.root) / place.uri
    path.write_bytes(path.read_bytes()[:-n_bytes_lost])
    with pytest.raises(CorruptFeature, match=r"0\.clip is cut short"):
        store.read(place.uri, 0)


def test_changed_bytes_do_not_pass_the_checksum(store):
    place = store.write("clip", "h", [{"clip": np.arange(50.0)}])[0]
    (UPath(store.root) / place.uri).write_bytes(
        safetensors_numpy.save({"0.clip": np.arange(50.0) + 1})
    )
    with pytest.raises(CorruptFeature, match="sha256"):
        store.read(place.uri, 0, sha256=place.sha256)


def test_readers_never_see_a_shard_in_the_making(tmp_path):
    store = FeatureStore(str(tmp_path))
    done = threading.Event()

    def write() -> None:
        try:
            for index in range(60):
                store.write("clip", "h", [{"clip": np.full(200_000, index, np.uint8)}])
        finally:  # or a write that fails would let the reader look for ever
            done.set()

    writer = threading.Thread(target=write)
    writer.start()
    seen: set[Path] = set()
    while not done.is_set():
        for path in set(tmp_path.rglob("*.safetensors")) - seen:
            assert safetensors_numpy.load(path.read_bytes())["0.clip"].size == 200_000
            seen.add(path)
    writer.join()
    assert not list(tmp_path.rglob("*.tmp-*"))
    assert len(list(tmp_path.rglob("*.safetensors"))) == 60


def test_a_shard_without_some_rows_is_another_shard(tmp_path):
    store = FeatureStore(str(tmp_path))
    rows = [{"frames": np.full((2, 3), i, np.uint8)} for i in range(3)]
    first, _second, third = store.write("clip", "ab" * 32, rows)

    kept = store.rewrite(first.uri, [0, 2])

    assert kept[0].uri != first.uri
    assert [row.sha256 for row in kept] == [first.sha256, third.sha256]
    np.testing.assert_array_equal(store.read(kept[1].uri, kept[1].row)["frames"], rows[2]["frames"])
    store.remove(first.uri)
    store.remove(first.uri)
    with pytest.raises(MissingInput):
        store.read(first.uri, 0)
    assert store.read(kept[0].uri, 0, sha256=first.sha256)
