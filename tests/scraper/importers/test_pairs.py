import pytest

from tests.scraper.importers.rows import tiktok_id


@pytest.mark.parametrize(
    ("row", "text", "views_k", "step_k"),
    [
        ({"views": "30.58M"}, "30.58M", 30_580.0, 10.0),
        ({"views": 44_800}, "44800", 44.8, 0.1),
        ({"views_k": 44.8}, "views_k=44.8", 44.8, 0.0),
        ({"views": "30.58M", "views_k": 30_580.0}, "30.58M", 30_580.0, 10.0),
    ],
)
def test_the_papers_lists_are_read(files, row, text, views_k, step_k):
    [video], [] = files.read("a.json", [{"id": tiktok_id(), **row}])

    found = video.sighting
    assert (found.display_text, found.views_k, found.step_k) == (text, views_k, step_k)


def test_an_address_is_enough(files):
    url = f"https://www.tiktok.com/@someone/video/{tiktok_id()}"
    [video], [] = files.read("a.json", [{"url": url, "views": "2M"}])

    assert video.sighting.tiktok_id == tiktok_id()


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"id": tiktok_id(), "views": "viele"}, "bad_count"),
        ({"id": tiktok_id(), "views": None}, "no_count"),
        ({"id": tiktok_id(), "views": "2M", "views_k": 2.0}, "bad_count"),
        ({"id": "x", "views": "2M"}, "bad_id"),
        ({"url": "https://www.tiktok.com/", "views": "2M"}, "bad_id"),
        ({"id": tiktok_id(), "views": "1,2 Mio."}, "bad_count"),
    ],
)
def test_a_row_that_says_nothing_sure_is_refused(files, row, reason):
    [_], [refused] = files.read("a.json", [{"id": tiktok_id(1), "views": "2M"}, row])

    assert refused.reason == reason


def test_counts_of_another_locale_are_read_where_it_is_stated(files):
    row = {"id": tiktok_id(), "views": "1,2\u00a0Mio."}
    [video], [] = files.read("a.json", [row], locale="de")

    assert (video.sighting.views_k, video.sighting.step_k) == (1_200.0, 100.0)


def test_files_of_a_folder_are_found_by_id_at_any_depth(files):
    media = files.write(f"packs/one/{tiktok_id()}.mp4", "x")
    rows = [{"id": tiktok_id(n), "views": "2M"} for n in range(2)]

    videos, [] = files.read("a.json", rows, media=files.folder / "packs")

    assert [video.media for video in videos] == [media, None]
