from datetime import time, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from catalog.facts import AccountFacts, Reactions, SoundFacts, Traits, without_names
from scraper.importers.facts import (
    ACCOUNT,
    GROUPS,
    grouped,
    read_flag,
    read_length,
    read_mentions,
    read_number,
    read_tags,
    readers,
)
from scraper.items import read_code


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (34, 34),
        (15.5, 15.5),
        ("34", 34),
        ("34.0", 34),
        ("0:34", 34),
        ("00:31", 31),
        ("1:02:03", 3723),
        ("00:00:31.5", 31.5),
        ("0 days 00:00:31", 31),
        ("PT34S", 34),
        ("PT1M5S", 65),
        ("PT1H", 3600),
        ("P0DT12S", 12),
        ("34s", 34),
        ("34 sec", 34),
        ("1m 5s", 65),
        ("2 min", 120),
        ("1h 2m 3s", 3723),
        ("12000 ms", 12),
        (timedelta(seconds=12.5), 12.5),
        (time(0, 1, 5), 65),
    ],
)
def test_a_length_is_read_as_it_is_written(value, seconds):
    assert read_length(value) == pytest.approx(seconds)


@pytest.mark.parametrize(
    "value",
    [None, "", "long", "0", 0, -3, "1:75", "PT", "P", "7:00:00", 1e300, True, [1], float("nan")],
)
def test_a_length_that_cannot_be_is_none(value):
    assert read_length(value) is None


@given(st.integers(1, 21_600))
def test_all_forms_of_a_length_agree(seconds):
    minutes, rest = divmod(seconds, 60)
    hours, part = divmod(minutes, 60)
    forms = [str(seconds), f"{hours}:{part:02}:{rest:02}", f"PT{hours}H{part}M{rest}S"]
    forms += [f"{hours}h {part}m {rest}s", f"{seconds}s", f"{seconds * 1000} ms"]
    assert {read_length(form) for form in forms} == {float(seconds)}
    assert read_length(str(seconds * 1000), per_s=1_000) == seconds


@pytest.mark.parametrize(
    ("value", "number"),
    [(5, 5), ("5", 5), ("5.0", 5), (5.0, 5), ("1.2M", 1_200_000), ("1,234", 1_234), ("0", 0)],
)
def test_a_number_is_read_as_it_is_shown(value, number):
    assert read_number(value) == number


@pytest.mark.parametrize("value", ["many", -1, 1.5, True, "", None, "1.234.567", 10**15])
def test_what_is_no_number_is_none(value):
    assert read_number(value) is None


def test_a_number_of_another_language_is_read_where_that_is_stated():
    assert read_number("1,2 Mio.", "de") == 1_200_000
    assert readers("de")["followers"]("12.345") == 12_345


@pytest.mark.parametrize(
    ("value", "flag"),
    [
        (True, True),
        ("True", True),
        (1, True),
        ("verified", True),
        ("not verified", False),
        ("0", False),
        (0.0, False),
        ("FALSE", False),
        ("maybe", None),
        ("", None),
        (None, None),
        (2, None),
    ],
)
def test_a_flag_is_true_false_or_not_to_be_read(value, flag):
    assert read_flag(value) is flag


@pytest.mark.parametrize(
    ("value", "n"),
    [("@a @b", 2), ("a, b;c", 3), ('["a"]', 1), ("[]", 0), (["a", "b"], 2), (3, 3), ("3", 3)],
)
def test_mentions_are_counted_in_any_kind_of_list(value, n):
    assert read_mentions(value) == n


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("sound_id", "7477538040452100000"),  # a spreadsheet's: another sound
        ("sound_id", 7.4775380404521e18),
        ("sound_id", "a/b"),
        ("region", "Germany"),
        ("language", "?"),
        ("author_key", "somebody"),
        ("step_k", "fine"),
        ("bio", 7),
    ],
)
def test_what_a_field_cannot_be_is_none(field, value):
    assert readers(None)[field](value) is None


def test_every_field_of_a_group_can_be_read():
    assert {name for _, _, facts in GROUPS for name in facts} <= readers(None).keys()


def test_fields_come_together_as_facts():
    values = {
        "followers": 5,
        "verified": True,
        "bio": 12,
        "likes": 3,
        "region": "DE",
        "duet": False,
    }
    found = grouped(values | {"sound_id": "7", "sound_uses": 9, "caption": "x"})

    assert found == {
        "account": AccountFacts(n_followers=5, is_verified=True, bio_chars=12),
        "sound": SoundFacts("7", n_videos=9),
        "traits": Traits(region="DE", is_duet=False),
        "reactions": Reactions(n_likes=3),
    }
    assert grouped({"caption": "x"}) == {}
    assert set(ACCOUNT.values()) == set(AccountFacts.__slots__)


@pytest.mark.parametrize(
    ("values", "author"),
    [
        ({"sound_title": "A song", "sound_original": False}, "somebody"),
        ({"sound_title": "A song"}, "somebody"),
        ({"sound_title": "A song", "sound_original": True}, None),
        ({"sound_title": "original sound - somebody"}, None),
        ({"sound_title": "Originalton"}, None),
        ({}, None),
    ],
)
def test_whose_own_sound_it_is_is_not_kept(values, author):
    found = grouped({"sound_id": "7", "sound_author": "somebody"} | values)
    kept = without_names(found["sound"])
    assert (kept.author, kept.title) == (author, values.get("sound_title") if author else None)


def test_gives_only_what_every_database_takes():
    known = readers(None)
    for field in ("sound_title", "sound_author"):
        assert known[field]("a\0 \ud800song") == "a song"
        assert known[field]("\0") is None
    assert known["language"]("abc-12345678-1234567") == "abc-12345678-1234567"
    assert known["language"]("abc-12345678-12345678") is None
    assert read_code("abc-12345678-12345678") is None


@pytest.mark.parametrize("word", ["NA", "nan", "None", "null", "<NA>", "\\N", " "])
def test_the_words_for_nothing_are_nothing_in_free_text_too(word):
    known = readers(None)
    for field in ("caption", "hashtags", "bio", "sound_title", "sound_author"):
        assert known[field](word) is None
    assert known["hashtags"]("[none]") is known["hashtags"]("[None]") is None


def test_tags_of_several_words_stay_whole():
    assert read_tags("prank|apex legends new|fun") == ("prank", "apex legends new", "fun")
    assert read_tags('last week|"donald trump"') == ("last week", "donald trump")
    assert read_tags("#a|#b c") == ("a", "b", "c")


def test_a_length_may_have_a_decimal_comma():
    assert (read_length("34,5"), read_length("1,234")) == (34.5, None)
