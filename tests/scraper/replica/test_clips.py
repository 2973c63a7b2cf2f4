import json
import math
import random
import subprocess
from dataclasses import replace

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scraper.errors import ClipFailed
from scraper.importers.reading import read_path
from scraper.importers.video import ImportOptions
from scraper.replica.clips import (
    SAMPLE_RATE_HZ,
    clip_path,
    colour,
    compose_music,
    info_of,
    make_clip,
    make_noise,
    picture_graph,
    speech_files,
    warm,
    write_collection,
)
from scraper.replica.content import TOPICS, WARM_DEG, ReplicaConfig, build_content


@given(st.floats(0.05, 0.95), st.floats(0, 360))
def test_a_colour_is_as_bright_as_asked(luma, hue_deg):
    r, g, b = colour(luma, hue_deg)
    assert all(0 <= c <= 255 for c in (r, g, b))
    assert (0.299 * r + 0.587 * g + 0.114 * b) / 255 == pytest.approx(luma, abs=0.003)


def test_warm_and_cold_are_what_people_call_so():
    r, _, b = colour(0.5, 30)
    assert r > b + 60
    r, _, b = colour(0.5, 210)
    assert b > r + 60


def test_equal_videos_have_equal_graphs_and_others_do_not(content):
    graphs = [picture_graph(v) for v in content.videos]
    assert graphs == [picture_graph(v) for v in content.videos]
    assert len(set(graphs)) == len(graphs)


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


@pytest.mark.ffmpeg
def test_the_collection_is_read_as_an_export_with_every_count_and_file(tmp_path):
    content = build_content(ReplicaConfig(videos_per_tag=1, topics=tuple(TOPICS)[:2]))
    for _again in range(2):
        n = write_collection(content, tmp_path / "export", clips=tmp_path / "clips")
    rows = read_path(tmp_path / "export", ImportOptions())
    found = {row.sighting.tiktok_id: row for row in rows}

    assert n == len(found) == 2
    for video in content.videos:
        row = found[video.tiktok_id]
        assert row.media.read_bytes()[4:8] == b"ftyp"
        assert row.sighting.caption == video.caption
        assert row.sighting.posted_at == video.created_at


@pytest.mark.ffmpeg
def test_a_description_holds_nothing_that_json_cannot(tmp_path):
    content = build_content(ReplicaConfig(videos_per_tag=2))
    for video in content.videos:
        assert json.loads(json.dumps(info_of(video)))["view_count"] == video.views


# As many as it takes to see the rule, small and short, so that they take a tenth of a second each.
SMALL = {"width_px": 144, "height_px": 256, "duration_s": 3.0, "rate_hz": 24}


def probe(path):
    command = ["ffprobe", "-v", "error", "-of", "json", "-show_streams", "-show_format", str(path)]
    return json.loads(subprocess.run(command, capture_output=True, check=True).stdout)


@pytest.fixture(scope="module")
def by_sound(content):
    return {v.sound: v for v in sorted(content.videos, key=lambda v: -v.duration_s)}


@pytest.mark.ffmpeg
@pytest.mark.parametrize("sound", ["speech", "music", "noise", "silence", "none"])
def test_a_clip_is_what_its_video_says(by_sound, media_folder, sound):
    video = by_sound[sound]
    facts = probe(make_clip(video, media_folder))
    picture, *tracks = sorted(facts["streams"], key=lambda s: s["codec_type"], reverse=True)
    assert picture["codec_name"] == "h264"
    assert picture["pix_fmt"] == "yuv420p"
    assert (picture["width"], picture["height"]) == (video.width_px, video.height_px)
    assert picture["avg_frame_rate"] == f"{video.rate_hz}/1"
    assert int(picture["nb_frames"]) == pytest.approx(video.duration_s * video.rate_hz, abs=1)
    assert float(facts["format"]["duration"]) == pytest.approx(video.duration_s, abs=0.1)
    assert [t["codec_name"] for t in tracks] == ([] if sound == "none" else ["aac"])
    lasting = [float(t["duration"]) for t in tracks]
    assert lasting == pytest.approx([video.duration_s] * len(tracks), abs=0.1)


@pytest.mark.ffmpeg
def test_the_index_comes_before_the_frames(by_sound, media_folder):
    head = make_clip(by_sound["speech"], media_folder).read_bytes()[:200_000]
    assert head[4:8] == b"ftyp"
    assert 0 < head.index(b"moov") < head.index(b"mdat")


@pytest.mark.ffmpeg
@pytest.mark.parametrize("sound", ["speech", "music"])
def test_equal_videos_give_equal_bytes(by_sound, media_folder, tmp_path, sound):
    first = make_clip(by_sound[sound], media_folder)
    assert make_clip(by_sound[sound], tmp_path).read_bytes() == first.read_bytes()


@pytest.mark.ffmpeg
def test_a_clip_is_made_once_and_again_when_its_recipe_changes(by_sound, tmp_path):
    video = replace(by_sound["none"], **SMALL)
    made_at = make_clip(video, tmp_path).stat().st_mtime_ns
    assert make_clip(video, tmp_path).stat().st_mtime_ns == made_at
    assert clip_path(replace(video, caption="new", views=1), tmp_path).exists()
    assert not clip_path(replace(video, rate_hz=30), tmp_path).exists()


@pytest.mark.ffmpeg
def test_nothing_is_left_behind_without_ffmpeg(by_sound, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", "")
    with pytest.raises(ClipFailed, match="not installed"):
        make_clip(by_sound["silence"], tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.ffmpeg
def test_a_refusal_of_ffmpeg_is_told(by_sound, tmp_path):
    with pytest.raises(ClipFailed, match="exited"):
        make_clip(replace(by_sound["none"], width_px=145), tmp_path)


def measure(path):
    """Brightness, warmth and change between frames a third of a second apart, at 18 x 32 px."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        frames = [
            frame.to_ndarray(format="rgb24", width=18, height=32, interpolation="AREA")
            for i, frame in enumerate(container.decode(stream))
            if i % 8 == 0
        ]
    pixels = np.stack(frames).astype(float) / 255
    luma = pixels @ np.array([0.299, 0.587, 0.114])
    warmth = pixels[..., 0].mean() - pixels[..., 2].mean()
    return luma.mean(), warmth, np.abs(np.diff(luma, axis=0)).mean()


@pytest.mark.ffmpeg
def test_the_rule_can_be_found_in_decoded_pictures_and_the_kind_of_sound(tmp_path):
    content = build_content(ReplicaConfig(videos_per_tag=6))
    videos = content.videos
    # Without its sound a clip takes half the time; that each kind is there is tested above.
    drawn = tuple(replace(v, **SMALL, sound="none") for v in videos)
    made = []
    assert warm(replace(content, videos=drawn), tmp_path, on_clip=made.append) == len(drawn)
    assert tuple(made) == drawn
    seen = np.array([measure(clip_path(v, tmp_path)) for v in drawn])
    planted = [
        [v.look.luma for v in videos],
        [math.cos(math.radians(v.look.hue_deg - WARM_DEG)) for v in videos],
        [v.look.motion for v in videos],
    ]
    for measured, meant, least in zip(seen.T, planted, (0.97, 0.93, 0.8), strict=True):
        assert np.corrcoef(measured, meant)[0, 1] > least
    heard = [[v.sound == s for s in ("speech", "music", "noise")] for v in videos]
    facts = np.column_stack([np.ones(len(videos)), seen, heard])
    log_views = np.log10([v.views for v in videos])
    left = log_views - facts @ np.linalg.lstsq(facts, log_views, rcond=None)[0]
    explained = 1 - (left @ left / (len(videos) - facts.shape[1])) / np.var(log_views, ddof=1)
    assert explained > 0.7
