import pytest

from tests.scraper.importers.rows import FIRST_ID, research_item, tiktok_id


@pytest.mark.parametrize(
    "content",
    [
        [research_item()],
        {"data": {"videos": [research_item()], "cursor": 100}, "error": {"code": "ok"}},
        research_item(),
    ],
)
def test_an_answer_is_read_with_its_exact_count(files, content):
    [video], [] = files.read("a.json", content)

    found = video.sighting
    assert (found.tiktok_id, found.handle, found.hashtags) == (tiktok_id(), "author0", ("dance",))
    assert (found.display_text, found.views_k, found.step_k) == ("44800", 44.8, 0.0)
    assert found.duration_s == 15.0


def test_every_whole_number_is_an_exact_id(files):
    whole = FIRST_ID // 1024 * 1024
    [video], [] = files.read("a.json", [research_item(id=whole)])

    assert video.sighting.tiktok_id == str(whole)


def test_hashtags_may_stand_in_a_list_of_their_own(files):
    item = research_item(hashtag_names=None, hashtag_info_list=[{"hashtag_name": "Fun"}])
    [video], [] = files.read("a.json", [item])

    assert video.sighting.hashtags == ("fun",)


def test_a_count_is_never_taken_for_zero(files):
    [_], [row] = files.read("a.json", [research_item(), research_item(view_count=None)])

    assert row.reason == "no_count"
