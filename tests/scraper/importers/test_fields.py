from datetime import UTC, date, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scraper.counts import ViewCount
from scraper.errors import RowRefused
from scraper.importers import fields
from scraper.items import read_amount

ID = "7571863205253778710"


def reason(call, *args, **more):
    with pytest.raises(RowRefused) as refused:
        call(*args, **more)
    return refused.value.reason


@pytest.mark.parametrize("value", [ID, f" {ID} ", int(ID)])
def test_an_id_is_kept_to_its_last_digit(value):
    assert fields.read_id(value, "tiktok") == ID


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
        (None, "no id"),
        (10**4_000, "expected"),
    ],
)
def test_an_id_that_was_damaged_is_refused_with_what_happened_to_it(value, said):
    with pytest.raises(RowRefused, match=said):
        fields.read_id(value, "tiktok")


def test_an_exact_source_may_give_any_whole_number_as_id():
    whole = int(ID) // 1024 * 1024
    assert fields.read_id(whole, "tiktok", exact_int=True) == str(whole)


@pytest.mark.parametrize("value", ["dQw4w9WgXcQ", "-_-", "a" * 40])
def test_other_platforms_have_ids_of_their_own(value):
    assert fields.read_id(value, "youtube") == value


@pytest.mark.parametrize("value", ["a/b", "..", "a" * 41, "ä", "a.b"])
def test_an_id_that_could_be_a_path_is_refused_on_every_platform(value):
    assert reason(fields.read_id, value, "youtube") == "bad_id"


def test_the_address_names_the_same_video_or_the_row_is_refused():
    url = f"https://www.tiktok.com/@someone/video/{ID}?lang=en"
    assert fields.check_url_id(url, None) == ID
    assert fields.check_url_id("https://vm.tiktok.com/ZM8abc/", ID) == ID
    assert reason(fields.check_url_id, url, ID[:-1] + "1") == "bad_id"
    assert reason(fields.check_url_id, url.replace("video", "photo"), None) == "photo"


def test_the_id_says_when_a_video_was_uploaded():
    assert fields.posted_by_id("6907228749016714497") == datetime(
        2020, 12, 17, 14, 15, 15, tzinfo=UTC
    )


def test_the_person_knows_the_platform_best():
    assert fields.read_platform("Instagram", None) == "instagram"
    assert fields.read_platform("Instagram", "tiktok") == "tiktok"
    assert fields.read_platform(None, None) == "tiktok"
    assert reason(fields.read_platform, "../media", None) == "bad_platform"


ANYTHING = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=30)
    | st.datetimes()
    | st.lists(st.integers(), max_size=3)
)


@given(ANYTHING)
def test_any_value_is_read_or_refused(value):
    calls = (
        lambda: fields.read_id(value, "tiktok"),
        lambda: fields.read_id(value, "youtube"),
        lambda: fields.read_count(value, exact=False),
        lambda: fields.read_count(value, exact=True, locale="de"),
        lambda: fields.read_thousands(value),
        lambda: fields.read_moment(value, "a time"),
        lambda: fields.read_platform(value, None),
    )
    details = ["given"]
    for call in calls:
        try:
            call()
        except RowRefused as refused:
            details.append(refused.detail)
    assert all(0 < len(detail) <= 500 for detail in details)
    read_amount(value, 100)
    fields.check_url_id(value, None)


@pytest.mark.parametrize(
    ("value", "exact", "text", "count"),
    [
        (44_800, False, "44800", ViewCount(44.8, 0.1)),
        (44_800, True, "44800", ViewCount(44.8, 0.0)),
        (44_801, False, "44801", ViewCount(44.801, 0.0)),
        ("44800", False, "44800", ViewCount(44.8, 0.1)),
        ("30.58M", False, "30.58M", ViewCount(30_580.0, 10.0)),
        (44_800.0, False, "44800", ViewCount(44.8, 0.1)),
        (0, False, "0", ViewCount(0.0, 0.0)),
    ],
)
def test_a_count_is_as_exact_as_its_source(value, exact, text, count):
    assert fields.read_count(value, exact=exact) == (text, count)


@pytest.mark.parametrize("value", [True, -1, 1.5, float("inf"), "viele", [1], 10**13, "1,2 Mio."])
def test_a_count_that_is_none_is_refused(value):
    assert reason(fields.read_count, value, exact=False) == "bad_count"


@pytest.mark.parametrize("value", [None, "", " ", "NaN", "null", "None", "-", float("nan")])
def test_a_missing_count_is_no_zero(value):
    assert reason(fields.read_count, value, exact=False) == "no_count"
    assert reason(fields.read_thousands, value) == "no_count"


def test_thousands_are_not_mistaken_for_views():
    assert fields.read_thousands(30_580.0) == ("views_k=30580.0", ViewCount(30_580.0, 0.0))
    assert fields.read_thousands("44.8") == ("views_k=44.8", ViewCount(44.8, 0.0))
    for value in ("30.58M", -1, 1e12, True, "1e3"):
        assert reason(fields.read_thousands, value) == "bad_count"


@pytest.mark.parametrize(
    "value",
    [
        1608214517,
        1608214517.0,
        "1608214517",
        1608214517000,
        "1608214517000",
        "2020-12-17T14:15:17Z",
        "2020-12-17T14:15:17.000Z",
        "2020-12-17 14:15:17",
        "2020-12-17T15:15:17+01:00",
        datetime(2020, 12, 17, 14, 15, 17),  # noqa: DTZ001 (what a table gives)
        datetime(2020, 12, 17, 15, 15, 17, tzinfo=timezone(timedelta(hours=1))),
    ],
)
def test_a_moment_is_read_from_what_tools_write(value):
    assert fields.read_moment(value, "a time") == datetime(2020, 12, 17, 14, 15, 17, tzinfo=UTC)


def test_a_day_is_its_first_moment():
    midnight = datetime(2020, 12, 17, tzinfo=UTC)
    assert fields.read_moment("2020-12-17", "a time") == midnight
    assert fields.read_moment(date(2020, 12, 17), "a time") == midnight


@pytest.mark.parametrize("value", ["yesterday", 0, 1, True, 1e300, "17.12.2020", "9" * 13, [1]])
def test_a_moment_that_is_none_is_refused(value):
    assert reason(fields.read_moment, value, "a time") == "bad_time"


@pytest.mark.parametrize("value", [None, "", "nan", float("nan")])
def test_no_moment_is_no_error(value):
    assert fields.read_moment(value, "a time") is None


@pytest.mark.parametrize("word", ["NA", "nan", "None", "NULL"])
def test_an_author_that_is_not_known_is_not_one_of_that_name(word):
    assert fields.read_handle(word, "tiktok") is fields.read_handle(word, "youtube") is None


@pytest.mark.parametrize(("text", "views_k"), [("1e+05", 100.0), ("1.2345e+06", 1234.5)])
def test_r_writes_round_numbers_so(text, views_k):
    assert fields.read_count(text, exact=True)[1].views_k == views_k


@pytest.mark.parametrize("text", ["1.2E+06", "1.23e+01", "1e6", "0.5e+05", "1e+99"])
def test_what_a_spreadsheet_may_have_rounded_is_no_count(text):
    with pytest.raises(RowRefused):
        fields.read_count(text, exact=True)
