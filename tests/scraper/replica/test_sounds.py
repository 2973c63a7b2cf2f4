import random

import numpy as np
import pytest

from scraper.replica.sounds import SAMPLE_RATE_HZ, compose_music, make_noise, speech_files


@pytest.mark.parametrize("make", [compose_music, make_noise])
@pytest.mark.parametrize("seed", range(3))
def test_computed_sound_is_audible_bounded_and_the_same_each_time(make, seed):
    wave = make(random.Random(seed), 3.1)
    assert wave.dtype == np.float32
    assert wave.shape == (int(3.1 * SAMPLE_RATE_HZ),)
    assert np.abs(wave).max() <= 1
    assert 0.03 < wave.std() < 0.4
    np.testing.assert_array_equal(wave, make(random.Random(seed), 3.1))


@pytest.mark.parametrize("duration_s", [3.0, 11.5, 20.0])
def test_there_is_enough_speech_for_every_clip(duration_s):
    files = speech_files(random.Random(1), duration_s)
    # 2.99 s is the shortest sentence, and it is played up to a tenth too fast.
    assert len(files) * 2.99 / 1.1 >= duration_s
    assert all(f.with_suffix(".txt").is_file() for f in files)
