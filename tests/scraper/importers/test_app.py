import pytest

from tests.scraper.importers.rows import aweme, tiktok_id


def test_an_answer_of_the_app_is_read(files):
    [video], [] = files.read("a.json", {"aweme_list": [aweme()], "has_more": 1})

    found = video.sighting
    assert (found.tiktok_id, found.handle, found.hashtags) == (tiktok_id(), "author0", ("dance",))
    assert (found.views_k, found.step_k, found.duration_s) == (44.8, 0.0, 15.033)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"is_ads": True}, "ad"),
        ({"image_post_info": {"images": []}}, "photo"),
        ({"status": {"private_status": 1}}, "private"),
        ({"status": {"is_delete": True}}, "taken_down"),
        ({"video": {"duration": 0}}, "no_video"),
        ({"statistics": {}}, "no_count"),
        ({"aweme_id": None}, "bad_id"),
    ],
)
def test_what_is_no_plain_video_is_refused_by_reason(files, changes, reason):
    [_], [row] = files.read("a.json", [aweme(1), aweme(**changes)])

    assert row.reason == reason


def test_a_length_that_no_float_can_be_is_no_length(files):
    [video], [] = files.read("a.json", [aweme(video={"duration": 10**4_000})])

    assert video.sighting.duration_s is None
