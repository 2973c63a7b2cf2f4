"""Decoding: only what is asked for, in order, with damage counted."""

import pytest

from features.decode import Damage, decode_all, decode_some
from features.demux import read_index
from tests.features.media import make_media

pytestmark = pytest.mark.ffmpeg


def test_only_wanted_frames_come_out_and_in_order(tmp_path):
    url = f"file:{make_media('open_groups', tmp_path)}"
    index = read_index(url)
    numbers = [0, 13, 14, 50, 119]
    wanted = index.pts[index.shown[numbers]].tolist()
    runs = index.packets_needed(numbers)
    assert sum(map(len, runs)) < 120
    found = decode_some(url, runs, frozenset(wanted), Damage())
    assert [frame.pts for frame in found] == wanted


def test_nothing_wanted_opens_nothing(tmp_path):
    missing = f"file:{tmp_path / 'nowhere.mp4'}"
    assert list(decode_some(missing, [], frozenset(), Damage())) == []


def test_all_frames_come_out_of_a_whole_file(tmp_path):
    damage = Damage()
    url = f"file:{make_media('long_group', tmp_path)}"
    times = [frame.pts for frame in decode_all(url, damage)]
    index = read_index(url)
    assert times == index.pts[index.shown].tolist()
    assert damage.packets == 0


def test_refused_packets_are_counted(tmp_path):
    damage = Damage()
    n_frames = sum(1 for _ in decode_all(f"file:{make_media('damaged', tmp_path)}", damage))
    assert 0 < n_frames < 120
    assert damage.packets > 0
