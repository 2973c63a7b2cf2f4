"""Which frames are kept, from nothing but when frames show."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.errors import TooShort
from features.settings import SamplingConfig
from features.video.sampling import SAMPLERS, Timeline, choose_frames


def steady(n_frames: int, rate_hz: float = 30.0) -> Timeline:
    return Timeline(np.arange(n_frames) / rate_hz, n_frames / rate_hz)


def chosen(timeline: Timeline, **settings: object) -> list[int]:
    return list(choose_frames(timeline, SamplingConfig(**settings)).indices)


TIMELINES = st.lists(st.floats(0.004, 5.0), min_size=1, max_size=60).map(
    lambda gaps: Timeline(np.cumsum([0.0, *gaps[:-1]]), float(np.sum(gaps)))
)
CONFIGS = st.builds(
    SamplingConfig,
    sampling=st.sampled_from([*SAMPLERS]),
    every_frames=st.integers(1, 70),
    every_s=st.floats(0.01, 20),
    n_frames=st.integers(1, 20),
    max_frames=st.integers(1, 70),
    window_frames=st.integers(1, 9),
)


def test_every_nth_frame_is_the_papers_skip():
    assert chosen(steady(1000), every_frames=200) == [0, 200, 400, 600, 800]
    assert chosen(steady(1000), sampling="frames") == [*range(0, 480, 30)]  # denser, and ends
    assert chosen(steady(1000), every_frames=100) == [*range(0, 1000, 100)]
    assert chosen(steady(200), every_frames=200) == [0]


def test_the_cap_is_told_only_when_it_left_something_out():
    config = SamplingConfig(every_frames=10, max_frames=5)
    assert not choose_frames(steady(50), config).capped
    assert choose_frames(steady(51), config).capped
    config = SamplingConfig(sampling="seconds", every_s=0.5, max_frames=4)
    assert not choose_frames(steady(60), config).capped
    assert choose_frames(steady(61), config).capped


def test_seconds_do_not_depend_on_the_frame_rate():
    assert chosen(steady(90, 30), sampling="seconds", every_s=1) == [0, 30, 60]
    assert chosen(steady(180, 60), sampling="seconds", every_s=1) == [0, 60, 120]
    assert chosen(steady(91, 30), sampling="seconds", every_s=1) == [0, 30, 60, 90]


def test_moments_are_seconds_parts_and_names():
    film = steady(100, 10)  # ten seconds
    wanted = "start, 0.5s, 2, 30%, half, end, 60s"
    assert chosen(film, sampling="moments", moments=wanted) == [0, 5, 20, 30, 50, 95, 99]
    trimmed = chosen(film, sampling="moments", moments="start,1s,half,end", start_s=4, stop_s=6)
    assert trimmed == [40, 50, 50, 59]
    assert chosen(steady(1), sampling="moments", moments="start,half,2s") == [0, 0, 0]


def test_seconds_keep_what_is_on_show_at_that_moment():
    still = Timeline(np.array([0.0, 0.1, 5.0]), 6.0)
    assert chosen(still, sampling="seconds", every_s=1) == [0, 1, 1, 1, 1, 2]


def test_times_rounded_to_milliseconds_find_the_same_frames():
    exact = steady(300, 30)
    rounded = Timeline(np.round(exact.shown_s, 3), 10.0)
    for every_s in (1 / 30, 0.1, 1 / 3, 1.0):
        settings = {"sampling": "seconds", "every_s": every_s, "max_frames": 999}
        assert chosen(rounded, **settings) == chosen(exact, **settings)


def test_uniform_frames_lie_in_the_middle_of_equal_parts():
    assert chosen(steady(100), sampling="uniform", n_frames=4) == [12, 37, 62, 87]
    assert chosen(steady(100), sampling="uniform", n_frames=1) == [50]


def test_uniform_always_gives_that_many_frames():
    assert chosen(steady(1), sampling="uniform", n_frames=3) == [0, 0, 0]
    assert chosen(steady(2), sampling="uniform", n_frames=4) == [0, 0, 1, 1]


def test_uniform_in_time_is_not_uniform_in_number_where_the_rate_varies():
    # A second of motion, then one picture for nine seconds.
    video = Timeline(np.append(np.arange(30) / 30, 1.0), 10.0)
    assert chosen(video, sampling="uniform", n_frames=10) == [15, *[30] * 9]


def test_trimming_leaves_the_frames_that_appear_inside():
    assert chosen(steady(300), every_frames=10, stop_s=1.0) == [0, 10, 20]
    assert chosen(steady(300), every_frames=10, start_s=1.0, stop_s=2.0) == [30, 40, 50]
    trimmed = {"sampling": "uniform", "n_frames": 2, "start_s": 2.0, "stop_s": 4.0}
    assert chosen(steady(300), **trimmed) == [75, 105]
    assert chosen(steady(300), sampling="seconds", start_s=8.5) == [255, 285]


def test_trimming_all_away_is_too_short_and_says_of_what():
    with pytest.raises(TooShort, match=r"from 5 s to 9 s of 2\.00 s"):
        chosen(steady(60), start_s=5.0, stop_s=9.0)


@pytest.mark.parametrize(
    ("window", "expected"),
    [
        (1, [range(1), range(10, 11), range(20, 21)]),
        (2, [range(2), range(10, 12), range(20, 22)]),
        (5, [range(3), range(8, 13), range(18, 23)]),
    ],
)
def test_a_window_lies_around_its_frame_and_inside_the_video(window, expected):
    config = SamplingConfig(every_frames=10, window_frames=window)
    assert list(choose_frames(steady(30), config).windows) == expected


def test_a_window_never_reaches_over_a_trimmed_end():
    config = SamplingConfig(every_frames=10, window_frames=9, start_s=1.0, stop_s=1.4)
    assert choose_frames(steady(300), config).windows == (range(30, 35), range(36, 42))


@given(timeline=TIMELINES, config=CONFIGS)
def test_kept_frames_exist_and_follow_each_other(timeline, config):
    choice = choose_frames(timeline, config)
    n_frames = len(timeline.shown_s)
    assert list(choice.indices) == sorted(choice.indices)
    assert 1 <= len(choice.indices) <= max(config.max_frames, config.n_frames)
    if config.sampling == "uniform":
        assert len(choice.indices) == config.n_frames
    for index, window in zip(choice.indices, choice.windows, strict=True):
        assert index in window
        assert 1 <= len(window) <= config.window_frames
        assert 0 <= window.start < window.stop <= n_frames


def test_times_that_last_for_years_cost_no_memory():
    video = Timeline(np.array([0.0, 1e12]), 1e12)
    assert chosen(video, sampling="seconds", every_s=0.01, max_frames=3) == [0, 0, 0]


def test_the_name_of_a_feature_set_holds_only_what_changes_the_numbers():
    assert SamplingConfig().spec() == {"sampling": "uniform", "n_frames": 16}
    assert SamplingConfig("frames").spec() == {"every_frames": 30, "max_frames": 16}
    frames = SamplingConfig("frames")
    assert dataclasses.replace(frames, every_s=9, n_frames=3).spec() == frames.spec()
    uniform = SamplingConfig(sampling="uniform", n_frames=5)
    assert uniform.spec() == {"sampling": "uniform", "n_frames": 5}
    assert dataclasses.replace(uniform, max_frames=2).spec() == uniform.spec()
    seconds = SamplingConfig(sampling="seconds", every_s=2.0, max_frames=9, stop_s=15.0)
    assert seconds.spec() == {
        "sampling": "seconds",
        "every_s": 2.0,
        "max_frames": 9,
        "stop_s": 15.0,
    }
    assert SamplingConfig(window_frames=4).spec()["window_frames"] == 4


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"sampling": "sometimes"}, "'frames', 'seconds', 'uniform' or 'moments'"),
        ({"every_frames": 0}, "every_frames"),
        ({"n_frames": 0}, "n_frames"),
        ({"max_frames": 0}, "max_frames"),
        ({"window_frames": 0}, "window_frames"),
        ({"every_s": 0.0}, "every_s"),
        ({"every_s": float("nan")}, "every_s"),
        ({"start_s": -1.0}, "start_s"),
        ({"start_s": 3.0, "stop_s": 3.0}, "stop_s is"),
        ({"moments": "start,later"}, "moment 'later' is none of start, half, end"),
        ({"moments": ""}, "moment '' is none"),
        ({"moments": "101%"}, "moment '101%' is none"),
        ({"moments": "-1s"}, "moment '-1s' is none"),
    ],
)
def test_settings_that_leave_no_frame_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        SamplingConfig(**settings)
