"""The index of a file: what is shown, when, and which packets a frame needs."""

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from features.errors import NoVideoStream
from features.video.demux import (
    Damage,
    Index,
    decode_all,
    decode_some,
    decoders_reason,
    packets,
    read_index,
)
from tests.features.media import make_media


@pytest.mark.ffmpeg
def test_only_wanted_frames_come_out_and_in_order(tmp_path):
    url = f"file:{make_media('open_groups', tmp_path)}"
    index = read_index(url)
    numbers = [0, 13, 14, 50, 119]
    wanted = index.pts[index.shown[numbers]].tolist()
    runs = index.packets_needed(numbers)
    assert sum(map(len, runs)) < 120
    found = decode_some(url, runs, frozenset(wanted), Damage())
    assert [frame.pts for frame in found] == wanted


@pytest.mark.ffmpeg
def test_nothing_wanted_opens_nothing(tmp_path):
    missing = f"file:{tmp_path / 'nowhere.mp4'}"
    assert list(decode_some(missing, [], frozenset(), Damage())) == []


@pytest.mark.ffmpeg
def test_all_frames_come_out_of_a_whole_file(tmp_path):
    damage = Damage()
    url = f"file:{make_media('long_group', tmp_path)}"
    times = [frame.pts for frame in decode_all(url, damage)]
    index = read_index(url)
    assert times == index.pts[index.shown].tolist()
    assert damage.packets == 0


@pytest.mark.ffmpeg
def test_refused_packets_are_counted(tmp_path):
    damage = Damage()
    n_frames = sum(1 for _ in decode_all(f"file:{make_media('damaged', tmp_path)}", damage))
    assert 0 < n_frames < 120
    assert damage.packets > 0


def index_of(pts: list[int], keyframes: list[int], hidden: tuple[int, ...] = ()) -> Index:
    """An index of frames a tenth of a second long, given in the order of decoding."""
    positions = range(len(pts))
    return Index(
        pts=np.array(pts, np.int64),
        duration=np.ones(len(pts), np.int64),
        is_keyframe=np.array([p in keyframes for p in positions], bool),
        is_discard=np.array([p in hidden for p in positions], bool),
        has_guessed_times=False,
        header_end_s=0.0,
        fps=10.0,
        time_base_s=0.1,
    )


CLOSED = index_of([0, 3, 1, 2, 4, 7, 5, 6], keyframes=[0, 4])
# The keyframe with time 5 is decoded before the frames 3 and 4, which need what came before it.
OPEN = index_of([0, 2, 1, 5, 3, 4, 7, 6], keyframes=[0, 3])


def test_frames_are_shown_in_the_order_of_their_times():
    assert CLOSED.shown.tolist() == [0, 2, 3, 1, 4, 6, 7, 5]
    np.testing.assert_allclose(CLOSED.timeline.shown_s, np.arange(8) / 10)
    assert CLOSED.timeline.end_s == pytest.approx(0.8)


@pytest.mark.parametrize(
    ("index", "wanted", "runs"),
    [
        (CLOSED, [0], [range(1)]),
        (CLOSED, [1], [range(3)]),
        (CLOSED, [0, 5], [range(1), range(4, 7)]),
        (CLOSED, [2, 4], [range(5)]),  # next to each other: one run
        (OPEN, [4], [range(6)]),  # shown before the keyframe that it follows in the file
        (OPEN, [5], [range(3, 4)]),
        (OPEN, [1, 7], [range(7)]),
        (OPEN, [0, 7], [range(1), range(3, 7)]),
    ],
)
def test_a_frame_needs_the_packets_from_its_keyframe_on(index, wanted, runs):
    assert index.packets_needed(wanted) == runs


def test_hidden_frames_are_decoded_and_not_counted():
    index = index_of([0, 1, 2, 3], keyframes=[0], hidden=(0, 1))
    assert index.shown.tolist() == [2, 3]
    assert index.timeline.shown_s.tolist() == pytest.approx([0.0, 0.1])
    assert index.packets_needed([1]) == [range(4)]


def test_two_frames_at_one_time_have_no_names():
    assert CLOSED.is_exact
    assert not index_of([0, 1, 1], keyframes=[0]).is_exact
    assert not index_of([], keyframes=[]).is_exact
    assert not dataclasses.replace(CLOSED, has_guessed_times=True).is_exact


def test_what_the_header_promised_and_is_not_there_was_not_read():
    assert dataclasses.replace(CLOSED, header_end_s=1.6).fraction_read == pytest.approx(0.5)
    assert dataclasses.replace(CLOSED, header_end_s=1.0).fraction_read == 1.0
    assert CLOSED.fraction_read == 1.0
    assert index_of([], keyframes=[]).fraction_read == 1.0


def test_the_last_frame_lasts_as_long_as_one_where_it_does_not_say():
    index = dataclasses.replace(CLOSED, duration=np.zeros(8, np.int64))
    assert index.timeline.end_s == pytest.approx(0.8)


class GrowingFile:
    """A container that meets, behind its first packet, a stream nobody has told it of."""

    name = "growing.ts"

    def demux(self, _stream: object) -> Iterator[SimpleNamespace]:
        yield SimpleNamespace(size=3, has_sidedata=lambda _kind: False)
        raise IndexError("list index out of range")


def test_a_stream_that_appears_late_ends_the_packets_and_not_the_run():
    assert len(list(packets(GrowingFile(), None))) == 1


@pytest.mark.ffmpeg
def test_an_index_lists_packets_without_decoding_them(tmp_path):
    index = read_index(f"file:{make_media('open_groups', tmp_path)}")
    assert len(index.pts) == 120
    assert int(index.is_keyframe.sum()) >= 10
    assert index.is_exact
    assert index.fps == 30.0
    assert index.header_end_s == pytest.approx(4.0)
    assert not (np.diff(index.pts) > 0).all()


@pytest.mark.ffmpeg
@pytest.mark.parametrize("name", ["matroska", "webm", "flash_video"])
def test_containers_without_a_track_length_tell_it_otherwise(tmp_path, name):
    index = read_index(f"file:{make_media(name, tmp_path)}")
    assert index.header_end_s == pytest.approx(2.0, abs=0.15)


@pytest.mark.ffmpeg
def test_no_pictures_no_index(tmp_path):
    with pytest.raises(NoVideoStream):
        read_index(f"file:{make_media('sound_only', tmp_path)}")


@pytest.mark.ffmpeg
def test_the_decoders_reason_is_the_same_however_often_it_is_asked(tmp_path: Path):
    url = f"file:{make_media('without_header', tmp_path)}"
    assert "moov atom not found" in decoders_reason(url)
    assert decoders_reason(url) == decoders_reason(url)
    assert decoders_reason(f"file:{make_media('no_b_frames', tmp_path)}") == ""
