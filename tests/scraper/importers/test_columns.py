import pytest

from scraper.errors import BadColumns
from scraper.importers.columns import SYNONYMS, find_columns, n_known, plain_name


def test_no_name_means_two_things():
    names = [name for synonyms in SYNONYMS.values() for name in synonyms]
    assert len(set(names)) == len(names)
    assert all(plain_name(name) == name for name in names)


@pytest.mark.parametrize(
    "header",
    [
        ["id", "playCount"],
        ["video_id", "View Count"],
        ["Video ID", "plays"],
        ["aweme_id", "statistics.play_count"],
        ["tiktok_url", "views"],
        ["id", "views_k"],
    ],
)
def test_columns_are_known_by_the_names_that_tools_give_them(header):
    assert set(find_columns(header, {}).values()) == {0, 1}


def test_the_person_may_say_which_column_is_which():
    header = ["nr", "views", "reach"]
    assert find_columns(header, {"id": "nr", "views": "reach"}) == {"id": 0, "views": 2}


@pytest.mark.parametrize(
    ("header", "wanted", "said"),
    [
        (["name", "views"], {}, "no column for id.*'name'"),
        (["id", "likes"], {}, "no column for views"),
        (["id", "video_id", "views"], {}, "may both be id"),
        (["id", "views", "playCount"], {}, "'views' and 'playCount' may both be views"),
        (["id", "views"], {"views": "reach"}, "no column 'reach'"),
        (["id", "n", "n"], {"views": "n"}, "2 columns 'n'"),
        (["id", "views"], {"likes": "views"}, "no field 'likes'"),
        ([], {}, "no column for id"),
    ],
)
def test_what_is_not_sure_is_not_guessed(header, wanted, said):
    with pytest.raises(BadColumns, match=said):
        find_columns(header, wanted)


def test_known_names_are_counted():
    assert n_known(["id", "views", "colour"]) == 2
