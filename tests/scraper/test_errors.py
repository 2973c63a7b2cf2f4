import re

from scraper import errors
from scraper.errors import RowRefused, shown


def all_errors():
    return [
        value
        for value in vars(errors).values()
        if isinstance(value, type) and issubclass(value, errors.ScrapeError)
    ]


def test_the_tree_in_the_docstring_names_every_error():
    names = {error.__name__ for error in all_errors()}
    assert set(re.findall(r"^[│├└─ ]*(\w+)(?: |$)", errors.__doc__, re.MULTILINE)) >= names


def test_every_error_that_sql_stores_has_a_code_of_its_own():
    codes = [vars(error).get("code") for error in all_errors() if "code" in vars(error)]
    assert len(set(codes)) == len(codes)
    assert all(re.fullmatch(r"[a-z][a-z_]*", code) for code in codes)


def test_what_configuration_can_cure_has_exit_code_three():
    ready = {error.__name__ for error in all_errors() if error.exit_code == 3}
    assert ready == {
        *("BadCookies", "BadSalt", "BrowserMissing", "ExtraMissing"),
        *("LiveSiteRefused", "ToolMissing"),
    }


def test_a_mistake_in_what_was_asked_for_has_exit_code_two():
    asked = {error.__name__ for error in all_errors() if error.exit_code == 2}
    assert asked == {"UnknownFormat", "BadColumns", "BadOption"}


def test_a_site_that_is_left_alone_counts_as_busy():
    assert {error.__name__ for error in all_errors() if error.exit_code == 5} == {"SitePaused"}


def test_a_detail_can_be_stored_and_printed_whatever_it_quotes():
    refusal = RowRefused("bad_id", "a\0b\x1b[31m\ud800" + "x" * 1_000)

    assert refusal.detail.isprintable()
    assert len(refusal.detail) <= 500
    refusal.detail.encode()


def test_a_value_is_quoted_short():
    assert shown([1] * 1_000) == "a list of 1000"
    assert shown({}) == "an object of 0"
    assert shown(10**5_000) == "a number of more than 30 digits"
    assert len(shown("x" * 1_000)) == 80
