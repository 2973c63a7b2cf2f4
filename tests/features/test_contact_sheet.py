import json
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from scipy.io import wavfile

from catalog.facts import KnownFeature
from catalog.web.pages import render
from features.contact_sheet import (
    Sheet,
    Shot,
    Strip,
    Wave,
    Words,
    draw_sheet,
    number_lines,
    number_rows,
    read_sheet,
    word_lines,
)
from features.extractor import Extracted, Source
from features.kinds import KINDS
from features.store import FeatureStore
from tests.features.media import make_media

DETAIL_OF_AUDIO = {
    "seconds": 2.0,
    "segments": [{"start_s": 0.2, "end_s": 0.9, "text": "<b>hello</b> there"}],
    "dropped": [{"start_s": 1.0, "reason": "improbable"}],
}


def known(status: str = "done", detail: dict[str, object] | None = None, **more) -> KnownFeature:
    fields = {"uri": None, "row": None, "sha256": None, "error_code": None, "error": None}
    return KnownFeature(status=status, detail=detail or {}, **{**fields, **more})


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("sheets")


@pytest.fixture(scope="module")
def made(folder: Path) -> dict[str, KnownFeature]:
    """What was made of a video of two seconds with a tone."""
    store = FeatureStore(str(folder / "features"))
    found = {"audio": known(detail=DETAIL_OF_AUDIO)}
    for kind in ("clip", "opening", "thumbnail"):
        extractor = KINDS[kind].load().build(KINDS[kind].config())
        (result,) = extractor([Source(1, "1", path=str(make_media("with_sound", folder)))])
        assert isinstance(result, Extracted)
        (row,) = store.write(kind, "a" * 64, [result.tensors])
        place = {"uri": row.uri, "row": row.row, "sha256": row.sha256}
        found[kind] = known(detail=json.loads(json.dumps(result.detail)), **place)
    found["ocr"] = known(
        detail={
            "lines": [{"at_s": 0.5, "text": "buy now"}],
            "moments": [{"at_s": 0.5}, {"at_s": 1.5}],
        }
    )
    return found


def sheet_of(folder: Path, features: dict[str, KnownFeature], **more) -> Sheet:
    words = {"title": "Video 1", "address": "https://a.example/1", "caption": "a <i>cat</i>"}
    places = {"media": make_media("with_sound", folder), "kept_wav": None, "kinds": list(KINDS)}
    store = FeatureStore(str(folder / "features"))
    return read_sheet(features, **{**words, **places, "store": store, **more})


def test_shows_what_was_made_and_says_what_was_not(made, folder):
    sheet = sheet_of(folder, made)
    assert [strip.kind for strip in sheet.strips] == ["thumbnail", "clip", "ocr"]
    clip = sheet.strips[1]
    assert [shot.at_s for shot in clip.shots] == made["clip"].detail["times_s"]
    assert [shot.at_s for shot in sheet.strips[2].shots] == [0.5, 1.5]
    assert sheet.duration_s == pytest.approx(2, abs=0.1)
    assert sheet.wave is not None
    assert max(sheet.wave.peaks) == pytest.approx(1 / 8, abs=0.02)  # ffmpeg's sine
    assert len(sheet.wave.loudness_lufs) > 10
    assert sheet.numbers["opening_cuts"] == made["opening"].detail["opening_cuts"]
    assert sheet.missing == ["no frames yet: run `viewcast extract frames`"]


def test_a_clip_is_shown_pixel_for_pixel(made, folder):
    frames = FeatureStore(str(folder / "features")).read(made["clip"].uri, made["clip"].row)
    first = sheet_of(folder, made).strips[1].shots[0].picture
    times = first.shape[0] // frames["frames"].shape[2]
    np.testing.assert_array_equal(
        first[::times, ::times], frames["frames"][:, 0].transpose(1, 2, 0)
    )


def test_words_stand_in_their_order_with_the_reason_of_the_refused(made, folder):
    sheet = sheet_of(folder, made)
    assert sheet.words == [
        Words(0.2, 0.9, "<b>hello</b> there"),
        Words(1.0, 2.0, "", "improbable"),
    ]
    said, refused, screen = word_lines(sheet)
    assert "hello" in said
    assert "not kept: improbable" in refused
    assert "buy now" in screen


@pytest.mark.parametrize(
    ("feature", "line"),
    [
        (None, "no clip yet: run `viewcast extract clip`"),
        (known("pending"), "no clip yet: run `viewcast extract clip`"),
        (known("skipped", error_code="no_audio"), "clip is absent: no_audio"),
        (known("dead", error_code="undecodable", error="why"), "clip failed: undecodable: why"),
    ],
)
def test_absent_failed_and_not_yet_are_told_apart(feature, line, folder):
    features = {} if feature is None else {"clip": feature}
    assert line in sheet_of(folder, features, kinds=["clip"]).missing


def test_without_the_media_file_the_rest_is_shown(made, folder):
    sheet = sheet_of(folder, made, media=folder / "gone.mp4")
    assert [strip.kind for strip in sheet.strips] == ["thumbnail", "clip"]
    assert sheet.wave is None
    assert any("media file is not here" in line for line in sheet.missing)


def test_a_kept_sound_serves_where_the_media_file_is_gone(made, folder):
    wav = folder / "kept.wav"
    wavfile.write(wav, 16_000, np.full(32_000, 0.25, np.float32))
    wave = sheet_of(folder, made, media=None, kept_wav=wav).wave
    assert wave is not None
    assert wave.duration_s == 2
    assert set(wave.peaks) == {0.25}


def test_a_shard_that_is_gone_costs_its_strip(made, folder):
    gone = {**made, "clip": known(uri="clip/no.safetensors", row=0, sha256="0" * 64)}
    sheet = sheet_of(folder, gone)
    assert "clip" not in [strip.kind for strip in sheet.strips]
    assert any(line.startswith("clip cannot be shown") for line in sheet.missing)


def test_a_video_without_sound_says_so(made, folder):
    sheet = sheet_of(folder, made, media=make_media("long_group", folder))
    assert sheet.wave is None
    assert "no sound is shown: no_audio" in sheet.missing


def test_numbers_of_the_opening_stand_beside_those_of_the_whole():
    numbers = {"opening_cuts": 1.0, "first_cut_s": None, "whole_cuts": 3.0}
    sheet = Sheet("", "", "", 1.0, numbers=numbers)
    assert number_rows(sheet) == [("cuts", [1.0, 3.0]), ("first_cut_s", [None])]
    assert number_lines(sheet) == ["cuts: 1 in the opening, 3 in all", "first_cut_s: -"]


class _Page(HTMLParser):
    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))


def test_the_page_needs_nothing_else_and_escapes_what_strangers_wrote(made, folder):
    sheet = sheet_of(folder, made)
    page = render("sheet.html", title=sheet.title, sheet=sheet, rows=number_rows(sheet))
    tags = _Page(page).tags
    names = {tag for tag, _ in tags}
    assert not names & {"script", "link", "iframe", "i", "b"}
    sources = [attrs["src"] for tag, attrs in tags if tag == "img"]
    assert len(sources) == sum(len(strip.shots) for strip in sheet.strips)
    assert all(source.startswith("data:image/png;base64,") for source in sources)
    for text in ("&lt;i&gt;cat", "&lt;b&gt;hello", "buy now", "improbable", "0.50 s"):
        assert text in page


def test_the_picture_is_as_long_as_it_needs_and_shows_the_pictures(made, folder):
    sheet = sheet_of(folder, made)
    drawn = np.asarray(draw_sheet(sheet))
    assert (drawn[-10:] == 255).all()  # the margin
    assert (drawn[-60:] < 255).any()
    shot = sheet.strips[1].shots[0].picture
    at = np.lib.stride_tricks.sliding_window_view(drawn[:, 24 : 24 + shot.shape[1]], shot.shape)
    assert any(np.array_equal(place, shot) for place in at[:, 0, 0])


def test_an_empty_sheet_can_be_drawn_and_filled():
    empty = Sheet("Video 1", "", "", 0.0, missing=["no clip yet"])
    assert draw_sheet(empty).height > 50
    assert "no clip yet" in render("sheet.html", title="x", sheet=empty, rows=[])


def test_many_pictures_go_on_in_the_next_row():
    shots = [Shot(np.full((100, 60, 3), 7, np.uint8), n / 2) for n in range(60)]
    few, many = (Sheet("", "", "", 30.0, strips=[Strip("clip", "", shots[:n])]) for n in (5, 60))
    assert draw_sheet(many).height > draw_sheet(few).height + 300
    assert draw_sheet(many).width == draw_sheet(few).width


def test_times_stay_on_the_axis():
    sheet = Sheet("", "", "", 10.0, wave=Wave(10.0, [0.5, 1.0]))
    assert [sheet.share(at_s) for at_s in (-1, 0, 5, 10, 99)] == [0, 0, 0.5, 1, 1]
    assert sheet.ticks == list(range(11))
    assert len(Sheet("", "", "", 600.0).ticks) <= 13
