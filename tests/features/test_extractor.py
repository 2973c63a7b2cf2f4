"""A feature set is named by everything that changes its numbers, and by nothing else."""

import dataclasses
import hashlib
import pickle  # noqa: TID251 - what the process pool does with every plan and source
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.errors import FeatureError, WorkerLost
from features.extractor import FeatureSetSpec, Source

SPEC = FeatureSetSpec("toy", {"every": 200, "resize": "area"}, "pyav", "1", None)
NUMBERS = st.integers() | st.floats(allow_nan=False, allow_infinity=False)
JSON = st.recursive(
    st.none() | st.booleans() | NUMBERS | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=6,
)


def test_the_hash_is_the_checksum_of_canonical_json():
    document = (
        b'{"config":{"every":200,"resize":"area"},"extractor":"pyav","extractor_version":"1",'
        b'"kind":"toy","weights_sha256":null}'
    )
    # Written out, because names of stored shards and catalog rows hang on these very bytes.
    assert SPEC.hash == hashlib.sha256(document).hexdigest()


@pytest.mark.parametrize(
    "change",
    [
        {"kind": "clip"},
        {"config": {"every": 201, "resize": "area"}},
        {"config": {"every": 200}},
        {"extractor": "ffmpeg"},
        {"extractor_version": "2"},
        {"weights_sha256": "0" * 64},
    ],
)
def test_every_field_changes_the_hash(change):
    assert dataclasses.replace(SPEC, **change).hash != SPEC.hash


@given(config=st.dictionaries(st.text(), JSON))
def test_the_order_of_settings_does_not_change_the_hash(config: Mapping[str, object]):
    turned = dict(reversed(config.items()))
    left, right = (dataclasses.replace(SPEC, config=c) for c in (config, turned))
    assert left.hash == right.hash


def test_numbers_that_json_does_not_have_are_refused():
    with pytest.raises(ValueError, match="JSON"):
        _ = dataclasses.replace(SPEC, config={"max_s": float("inf")}).hash


def test_what_travels_between_processes_survives_it():
    source = Source(1, "7300000000000000001", uri="clip/x/yy/z.safetensors", row=3)
    error = WorkerLost("its worker process died")
    found_source, found_spec, found_error = pickle.loads(pickle.dumps((source, SPEC, error)))
    assert found_source == source
    assert found_spec == SPEC
    assert found_spec.hash == SPEC.hash
    assert isinstance(found_error, FeatureError)
    assert str(found_error) == str(error)
