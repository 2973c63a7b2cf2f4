"""The ocr feature: known words on real files, none where there are none, each counted once."""

import importlib.util
import socket
from dataclasses import replace

import numpy as np
import pytest

from features.errors import MissingInput, WeightsMismatch, WeightsMissing
from features.extractor import Extracted, Source
from features.settings import OcrConfig
from features.video import ocr
from features.video.ocr import NETWORKS_SHA256, OcrExtractor, Reader
from tests.features.screens import BLACK, WHITE, YELLOW, film, noise, plain, written

pytestmark = pytest.mark.ocr


@pytest.fixture(scope="module")
def reader() -> Reader:
    return Reader(OcrConfig().min_score)


@pytest.fixture(scope="module")
def extractor() -> OcrExtractor:
    return OcrExtractor(OcrConfig())


def read(extractor: OcrExtractor, path: object) -> Extracted:
    (result,) = extractor([Source(1, "1", path=str(path))])
    assert isinstance(result, Extracted), result
    return result


@pytest.mark.parametrize(
    ("text", "size", "at", "colour", "edge"),
    [
        ("Wait for it", 40, (30, 70), WHITE, BLACK),
        ("new recipe 2024", 24, (60, 330), YELLOW, BLACK),
        ("link in bio", 14, (200, 620), BLACK, WHITE),
        ("größer façade", 32, (20, 400), WHITE, BLACK),
        ("今天的晚餐", 36, (40, 300), WHITE, BLACK),
        ("關注我們", 28, (90, 500), YELLOW, BLACK),
        ("ありがとう", 32, (40, 200), WHITE, BLACK),
    ],
)
def test_reads_known_words_of_any_size_place_and_colour(reader, text, size, at, colour, edge):
    lines = reader(written(plain(), text, at, size, colour, edge)).lines
    # Of what is small it sees the letters, and not each gap; a gap may part a line, too.
    assert "".join(line.text for line in lines).replace(" ", "") == text.replace(" ", "")
    assert all(line.score > OcrConfig().min_score for line in lines)
    left, top, right, bottom = lines[0].box
    # A line stands on its foot and begins at its left end; two pixels of outline around it.
    assert left == pytest.approx(at[0] / 360, abs=0.03)
    assert top < at[1] / 640 < bottom + 0.015
    assert 0.5 * size < (bottom - top) * 640 < 2 * size
    assert right > left


@pytest.mark.parametrize("picture", [plain(), noise(), np.zeros((640, 360, 3), np.uint8)])
def test_finds_nothing_where_there_is_nothing(reader, picture):
    screen = reader(picture)
    assert screen.lines == ()
    assert screen.share == 0
    assert screen.row == (0, 0, 0)


def test_the_share_is_that_of_the_area_under_the_lines(reader):
    one = reader(written(plain(), "HELLO WORLD", (20, 200), 40))
    both = reader(
        written(written(plain(), "HELLO WORLD", (20, 200), 40), "HELLO WORLD", (20, 420), 40)
    )
    (line,) = one.lines
    left, top, right, bottom = line.box
    assert one.share == pytest.approx((right - left) * (bottom - top), rel=0.1)
    assert both.share == pytest.approx(2 * one.share, rel=0.1)


def test_lines_are_read_from_the_top(reader):
    picture = plain()
    for text, foot in (("third", 500), ("first", 100), ("second", 300)):
        picture = written(picture, text, (40, foot), 36)
    assert [line.text for line in reader(picture).lines] == ["first", "second", "third"]


def test_lines_it_is_not_sure_of_are_left_out_and_counted(reader):
    picture = written(plain(), "Wait for it", (30, 70), 40)
    sure = reader(picture)
    (score,) = [line.score for line in sure.lines]
    strict = Reader(min(score + 0.0001, 1.0))(picture)
    assert (len(sure.lines), sure.n_unsure) == (1, 0)
    assert (len(strict.lines), strict.share, strict.n_unsure) == (0, 0.0, 1)


def test_the_same_words_at_several_moments_count_once(extractor, tmp_path):
    hook = written(plain(), "Wait for it", (30, 70), 40)
    later = written(hook, "part two", (60, 400), 32)
    detail = read(extractor, film(tmp_path / "v.mp4", [(plain(), 1), (hook, 2), (later, 5)])).detail
    assert detail["text"] == "Wait for it\npart two"
    assert detail["n_lines"] == 2
    assert [(line["at_s"], line["text"]) for line in detail["lines"]] == [
        (2.0, "Wait for it"),
        (4.0, "part two"),
    ]
    assert detail["first_text_s"] == 2.0
    assert [moment["n_lines"] for moment in detail["moments"]] == [0, 1, 2, 2]
    assert detail["share"] == max(moment["share"] for moment in detail["moments"]) > 0


def test_a_video_without_text_has_an_empty_one(extractor, tmp_path):
    result = read(extractor, film(tmp_path / "v.mp4", [(plain(), 3)]))
    assert result.detail["text"] == ""
    assert (result.detail["n_lines"], result.detail["share"]) == (0, 0)
    assert result.detail["first_text_s"] is None
    assert result.tensors["moments"].tolist() == [[0, 0, 0]] * 4


def test_the_tensor_has_a_row_for_each_moment_of_a_short_video_too(extractor, tmp_path):
    hook = written(plain(), "Wait for it", (30, 70), 40)
    result = read(extractor, film(tmp_path / "v.mp4", [(hook, 0.2)]))
    rows = result.tensors["moments"]
    assert (rows.shape, rows.dtype) == ((4, 3), np.float32)
    assert rows[:, 0].tolist() == [1, 1, 1, 1]
    # Two frames are all there is: half a second and later are the last one.
    assert (rows[1:] == rows[0]).all() or len(result.detail["moments"]) == 2
    assert len(result.detail["moments"]) <= 2


def test_a_row_does_not_depend_on_its_batch_or_on_what_came_before(extractor, tmp_path):
    files = [
        film(tmp_path / f"{n}.mp4", [(written(plain(), text, (30, 90 + 60 * n), 34), 3)])
        for n, text in enumerate(["only today", "今天的晚餐", "a rather long line here"])
    ]
    together = extractor([Source(n, str(n), path=str(file)) for n, file in enumerate(files)])
    for file, result in reversed([*zip(files, together, strict=True)]):
        alone = read(OcrExtractor(OcrConfig()), file)
        assert alone.detail == result.detail
        assert (alone.tensors["moments"] == result.tensors["moments"]).all()


def test_what_cannot_be_read_costs_itself(extractor, tmp_path):
    good = film(tmp_path / "v.mp4", [(written(plain(), "only today", (30, 90), 34), 1)])
    lost, none, found = extractor(
        [Source(1, "1", path=str(tmp_path / "no.mp4")), Source(2, "2"), Source(3, "3", str(good))]
    )
    assert isinstance(lost, MissingInput)
    assert isinstance(none, MissingInput)
    assert isinstance(found, Extracted)


def test_landscape_and_odd_sizes_are_read_whole(extractor, tmp_path):
    wide = written(plain(202, 402), "far right", (280, 190), 24)
    (line,) = read(extractor, film(tmp_path / "v.mp4", [(wide, 1)])).detail["lines"]
    assert line["text"] == "far right"
    assert line["box"][0] == pytest.approx(280 / 402, abs=0.03)


def test_the_picture_is_bounded_and_never_enlarged(tmp_path):
    small = OcrExtractor(OcrConfig(longest_px=320))
    big = written(plain(1280, 720), "Wait for it", (60, 140), 90)
    (line,) = read(small, film(tmp_path / "v.mp4", [(big, 1)])).detail["lines"]
    assert line["text"] == "Wait for it"


def test_no_network_is_ever_asked_for(monkeypatch):
    def refuse(*_arguments: object) -> None:
        raise AssertionError("a connection was opened")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)
    fresh = Reader(0.8)
    assert fresh(written(plain(), "only today", (30, 90), 34)).lines


def test_it_runs_in_one_thread(reader):
    sessions = [reader._read.text_det.session, reader._read.text_rec.session]
    for session in sessions:
        options = session.session.get_session_options()
        assert (options.intra_op_num_threads, options.inter_op_num_threads) == (1, 1)


def test_the_name_follows_what_changes_the_numbers():
    plain_set = ocr.spec(OcrConfig())
    assert plain_set.weights_sha256 == NETWORKS_SHA256
    for changed in ({"moments": "start"}, {"longest_px": 640}, {"min_score": 0.5}):
        assert ocr.spec(replace(OcrConfig(), **changed)).hash != plain_set.hash
    trained = OcrConfig(longest_px=640).as_trained(plain_set.config)
    assert ocr.spec(trained).hash == plain_set.hash


def test_without_the_extra_it_says_what_to_install(monkeypatch):
    real = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "rapidocr" else real(name)
    )
    with pytest.raises(WeightsMissing, match=r"pip install 'viewcast\[ocr\]'") as refused:
        ocr.check(OcrConfig())
    assert refused.value.exit_code == 3
    ocr.spec(OcrConfig())  # the name needs no network


def test_other_networks_are_refused(monkeypatch):
    monkeypatch.setattr(ocr, "NETWORKS_SHA256", "0" * 64)
    with pytest.raises(WeightsMismatch, match="another rapidocr"):
        ocr.check(OcrConfig())
