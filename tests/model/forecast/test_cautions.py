"""What a reading of a file told, as sentences."""

import pytest

from features.errors import NoAudioTrack, Undecodable
from features.one_video import Made, MadeFeatures, Probe
from model.forecast.cautions import cautions_of, far_from_training

WHOLE = Probe(3.0, 144, 256)


def of(probe=WHOLE, **details):
    made = {
        kind: Made(0.0, error=found) if isinstance(found, Exception) else Made(0.0, {}, found)
        for kind, found in details.items()
    }
    return cautions_of(MadeFeatures(probe, 0.0, made))


@pytest.mark.parametrize(
    ("kind", "detail", "code", "words", "is_partial"),
    [
        ("clip", {"truncated": True, "fraction_read": 0.2333}, "truncated", "23.3 %", True),
        ("clip", {"n_errors": 8, "fraction_read": 1.0}, "damaged", "8 places", True),
        ("clip", {"n_errors": 0, "fraction_read": 0.5}, "damaged", "50 %", True),
        ("frames", {"capped": True, "n_frames": 16}, "capped", "16 pictures", True),
        ("clip", {"hdr": "hlg"}, "hdr", "HDR (hlg)", False),
        ("clip", {"hdr": True}, "hdr", "HDR,", False),
        ("audio", {"truncated": True, "fraction_read": 0.99999}, "truncated", "99.9 %", True),
        ("audio", {"capped": True, "seconds": 600.0}, "capped", "600 s", True),
        ("audio", {"n_nonfinite": 3}, "damaged", "3 samples", True),
        ("audio", {"silent": True, "status": "silent"}, "silent", "too quiet", False),
        ("audio", {"taken": "left", "status": "antiphase"}, "antiphase", "only the left", False),
    ],
)
def test_each_fact_is_told(kind, detail, code, words, is_partial):
    [caution] = of(**{kind: detail})
    assert (caution.code, caution.is_partial) == (code, is_partial)
    assert caution.part == ("sound" if kind == "audio" else "pictures")
    assert words in caution.message


def test_nothing_is_said_of_a_whole_file_or_of_facts_that_are_not_told():
    whole = {"truncated": False, "fraction_read": 1.0, "capped": False, "n_errors": 0}
    assert of(clip=whole, audio={"status": "ok", "taken": "mix"}, visual={}, other={}) == ()


def test_a_thing_that_two_features_found_is_told_once():
    cut = {"truncated": True, "fraction_read": 0.25}
    probe = Probe(0.7, 144, 256, 0.3)
    told = of(probe, clip=cut, frames=cut, audio=cut)
    assert [(one.code, one.part) for one in told] == [
        ("truncated", "pictures"),
        ("truncated", "sound"),
    ]
    assert "25 %" in told[0].message


def test_a_part_that_cannot_be_read_is_told_and_one_that_is_not_there_is_not():
    assert of(audio=NoAudioTrack("no track")) == ()
    [caution] = of(audio=Undecodable("broken"))
    assert (caution.code, caution.is_partial) == ("unread", True)


def test_what_the_first_look_finds_is_told_where_no_feature_is_made():
    told = of(Probe(3.0, 144, 256, 0.5, "pq"))
    assert [(one.code, one.is_partial) for one in told] == [("truncated", True), ("hdr", False)]


def test_a_clip_unlike_the_training_videos_is_told_with_what_is_left_to_go_by():
    far = far_from_training({"visual": 40.0, "frames": 0.3, "audio": 1.9}, ["caption", "hashtags"])
    assert [(one.code, one.part, one.is_partial) for one in far] == [
        ("far_from_training", "pictures", False),
        ("far_from_training", "sound", False),
    ]
    assert "looks like it" in far[0].message
    assert "sounds like it" in far[1].message
    assert "rests on caption, hashtags" in far[0].message
    assert far_from_training({"frames": 2.0, "audio": 50.0, "text": 0.0}, []) == []
    assert far_from_training({}, []) == []
