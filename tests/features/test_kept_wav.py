from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from features.kept_wav import origin_of, read_kept, write_kept


@given(arrays(np.float32, st.integers(0, 40)))
def test_what_was_kept_is_read_back_bit_for_bit(
    tmp_path_factory: pytest.TempPathFactory, samples: np.ndarray
) -> None:
    folder = tmp_path_factory.mktemp("kept")
    write_kept(folder / "a" / "1.wav", samples, 16_000, "of this")
    read = read_kept(folder / "a" / "1.wav", 16_000, "of this")
    assert read is not None
    assert read.tobytes() == samples.tobytes()
    assert read_kept(folder / "a" / "1.wav", 16_000, "of that") is None
    assert read_kept(folder / "a" / "1.wav", 8_000, "of this") is None


def test_an_origin_is_the_file_as_it_is_and_how_much_of_it(tmp_path: Path) -> None:
    file = tmp_path / "video.mp4"
    file.write_bytes(b"some")
    first = origin_of(file, 600.0)
    assert origin_of(file, 600.0) == first
    assert origin_of(file, 60.0) != first
    file.write_bytes(b"other")
    assert origin_of(file, 600.0) != first


def test_a_wav_that_cannot_be_read_is_none(tmp_path: Path) -> None:
    assert read_kept(tmp_path, 16_000, "of this") is None
    assert read_kept(tmp_path / "gone.wav", 16_000, "of this") is None
