from datetime import UTC, datetime

import pytest

from scraper.importers import ids
from scraper.importers.errors import RowRefused

ID = "7571863205253778710"


def reason(call, *args, **more):
    with pytest.raises(RowRefused) as refused:
        call(*args, **more)
    return refused.value.reason


@pytest.mark.parametrize("value", [ID, f" {ID} ", int(ID)])
def test_an_id_is_kept_to_its_last_digit(value):
    assert ids.read_id(value, "tiktok") == ID


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("7.57E+18", "spreadsheet"),
        ("7,57186E+18", "spreadsheet"),
        (7.571863205253779e18, "float"),
        (int(ID) // 1024 * 1024, "rounded"),
        ("../../etc/passwd", "expected"),
        ("123", "expected"),
        (True, "expected"),
        (None, "expected"),
        (10**4_000, "expected"),
    ],
)
def test_an_id_that_was_damaged_is_refused_with_what_happened_to_it(value, said):
    with pytest.raises(RowRefused, match=said):
        ids.read_id(value, "tiktok")


def test_an_exact_source_may_give_any_whole_number_as_id():
    whole = int(ID) // 1024 * 1024
    assert ids.read_id(whole, "tiktok", exact_int=True) == str(whole)


@pytest.mark.parametrize("value", ["dQw4w9WgXcQ", "-_-", "a" * 64])
def test_other_platforms_have_ids_of_their_own(value):
    assert ids.read_id(value, "youtube") == value


@pytest.mark.parametrize("value", ["a/b", "..", "a" * 65, "ä", "a.b"])
def test_an_id_that_could_be_a_path_is_refused_on_every_platform(value):
    assert reason(ids.read_id, value, "youtube") == "bad_id"


def test_the_address_names_the_same_video_or_the_row_is_refused():
    url = f"https://www.tiktok.com/@someone/video/{ID}?lang=en"
    assert ids.check_url_id(url, None) == ID
    assert ids.check_url_id("https://vm.tiktok.com/ZM8abc/", ID) == ID
    assert reason(ids.check_url_id, url, ID[:-1] + "1") == "bad_id"
    assert reason(ids.check_url_id, url.replace("video", "photo"), None) == "photo"


def test_the_id_says_when_a_video_was_uploaded():
    assert ids.posted_by_id("6907228749016714497") == datetime(2020, 12, 17, 14, 15, 15, tzinfo=UTC)


def test_the_person_knows_the_platform_best():
    assert ids.read_platform("Instagram", None) == "instagram"
    assert ids.read_platform("Instagram", "tiktok") == "tiktok"
    assert ids.read_platform(None, None) == "tiktok"
    assert reason(ids.read_platform, "../media", None) == "bad_platform"
