import re

from scraper.importers import errors
from scraper.importers.errors import RowRefused, shown


def test_the_tree_in_the_docstring_names_every_error():
    names = {
        name
        for name, value in vars(errors).items()
        if isinstance(value, type) and issubclass(value, errors.ImportRefused)
    }
    assert set(re.findall(r"^[│├└─ ]*(\w+)(?: |$)", errors.__doc__, re.MULTILINE)) >= names


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
