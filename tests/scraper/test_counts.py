import pytest
from babel import Locale
from babel.numbers import format_compact_decimal, format_decimal
from hypothesis import assume, given
from hypothesis import strategies as st

from scraper.counts import MAX_VIEWS, ViewCount, count_from_json, parse_views_k
from scraper.errors import UnreadableCount
from scraper.replica.pages import round_count, show_count


@pytest.mark.parametrize(
    ("text", "views_k", "step_k"),
    [
        ("30.58M", 30_580.0, 10.0),
        ("75.8K", 75.8, 0.1),
        ("177.6K", 177.6, 0.1),
        ("2M", 2_000.0, 100.0),
        ("37.1B", 37_100_000.0, 100_000.0),
        ("1635", 1.635, 0.0),
        ("1,234,567", 1_234.567, 0.0),
        ("0", 0.0, 0.0),
        ("25.5k views", 25.5, 0.1),
        (" 1.9M\u00a0posts\u200e", 1_900.0, 100.0),
        ("１２.3K", 12.3, 0.1),
    ],
)
def test_reads_what_the_site_prints(text, views_k, step_k):
    assert parse_views_k(text) == ViewCount(views_k, step_k)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "-",
        "—",
        "1,2M",
        "12,34",
        "1e5",
        "-5K",
        "1.2.3K",
        "1.5",
        "1.2345M",
        "1,2 Mio.",
        "1 635",
        "1.2万",
        "١٢",
        "K",
        "12KK",
        "NaN",
        "views",
        "9" * 40,
        "1" + " " * 40,
        "999999B",
        "1.2M\x00",
    ],
)
def test_refuses_everything_else_loudly(text):
    with pytest.raises(UnreadableCount):
        parse_views_k(text)


@given(st.text(max_size=40))
def test_any_text_is_a_count_or_refused(text):
    try:
        count = parse_views_k(text)
    except UnreadableCount:
        return
    assert 0 <= count.views_k * 1_000 <= MAX_VIEWS


@given(st.integers(0, 10**11))
def test_the_truth_lies_within_half_a_step_of_what_is_shown(views):
    shown = parse_views_k(show_count(views))
    assert abs(shown.views_k - views / 1_000) <= shown.step_k / 2 + 1e-9 * views
    listed = count_from_json(round_count(views))
    assert abs(listed.views_k - views / 1_000) <= listed.step_k / 2 + 1e-9 * views


@pytest.mark.parametrize(
    ("n", "views_k", "step_k"),
    [
        (9_999, 9.999, 0.0),
        (22_600, 22.6, 0.1),
        (22_609, 22.609, 0.0),
        (1_800_000, 1_800.0, 100.0),
        (1_776_621, 1_776.621, 0.0),
        (37_100_000_000, 37_100_000.0, 100_000.0),
    ],
)
def test_a_json_count_is_as_exact_as_its_rounding(n, views_k, step_k):
    assert count_from_json(n) == ViewCount(views_k, step_k)


@pytest.mark.parametrize("n", [-1, MAX_VIEWS + 1, True])
def test_an_impossible_json_count_is_refused(n):
    with pytest.raises(UnreadableCount):
        count_from_json(n)


# Babel itself cannot write Swahili's prefixes (it counts the zeros of the negative form too).
NAMES = """
ar bg cs da de de_CH el en_GB en_IN es es_MX fa fi fil fr fr_CA he hi hr hu id it ja ko ms nb nl
pl pt pt_PT ro ru sk sr sv ta te th tr uk ur vi zh zh_Hant
"""
LOCALES = NAMES.split()
DIGITS = {"ar": "٠١٢٣٤٥٦٧٨٩", "fa": "۰۱۲۳۴۵۶۷۸۹", "hi": "०१२३४५६७८९", "th": "๐๑๒๓๔๕๖๗๘๙"}


@pytest.mark.parametrize("locale", LOCALES)
@given(
    views=st.integers(0, 10**11) | st.integers(0, 10**6), form=st.sampled_from(["short", "long"])
)
def test_what_a_locale_writes_is_read_within_half_a_step(locale, views, form):
    if form not in Locale.parse(locale).compact_decimal_formats:
        return  # where numbers have no long form
    text = format_compact_decimal(views, format_type=form, locale=locale, fraction_digits=1)
    # "mille" alone, for exactly one thousand, is refused as it has no digit.
    assume(len(text) <= 32 and any(letter.isdigit() for letter in text))
    shown = parse_views_k(text, locale)
    assert abs(shown.views_k - views / 1_000) <= shown.step_k / 2 + 1e-9 * views


@pytest.mark.parametrize("locale", LOCALES)
@given(views=st.integers(0, 10**11))
def test_a_whole_number_with_a_locales_groups_is_exact(locale, views):
    text = format_decimal(views, locale=locale)

    assert parse_views_k(text, locale) == ViewCount(views / 1_000, 0.0)


@pytest.mark.parametrize(("locale", "digits"), DIGITS.items())
@given(views=st.integers(0, 10**11))
def test_a_locales_own_digits_are_digits(locale, digits, views):
    system = {"ar": "default", "fa": "default"}.get(locale, "latn")
    name = {"ar": "ar_EG"}.get(locale, locale)
    text = format_compact_decimal(views, locale=name, fraction_digits=1, numbering_system=system)
    shown = parse_views_k(text.translate(str.maketrans("0123456789", digits)), name)

    assert abs(shown.views_k - views / 1_000) <= shown.step_k / 2 + 1e-9 * views


@pytest.mark.parametrize(
    ("text", "locale", "views_k", "step_k"),
    [
        ("1,2 Mio.", "de", 1_200.0, 100.0),
        ("1,2\u00a0Mio.", "de-DE", 1_200.0, 100.0),
        ("1,5 тыс.", "ru", 1.5, 0.1),
        ("1 635", "fr", 1.635, 0.0),
        ("1\u202f635", "fr", 1.635, 0.0),
        ("1.2万", "ja", 12.0, 1.0),
        ("1200 M", "es", 1_200_000.0, 100.0),
        ("3.1 क॰", "hi", 31_000.0, 1_000.0),
        ("30.58M", "en", 30_580.0, 10.0),
        ("30.58M", "en-US", 30_580.0, 10.0),
        ("12,5 B", "tr", 12.5, 0.1),
        ("1,2 T", "vi", 1_200_000.0, 100_000.0),
    ],
)
def test_the_same_letters_mean_what_they_mean_in_their_locale(text, locale, views_k, step_k):
    assert parse_views_k(text, locale) == ViewCount(views_k, step_k)


@pytest.mark.parametrize(
    ("text", "locale"),
    [
        ("1.2M", "de"),  # a point is a group there
        ("1.5", "de"),
        ("1,5", "de"),  # a part of a view
        ("1,2 Mio. x", "de"),
        ("x 1,2 Mio.", "de"),
        ("Mio.", "de"),
        ("1,2,3 Mio.", "de"),
        ("12.34 Mio.", "de"),
        ("-1 Mio.", "de"),
        ("1e5", "de"),
        ("١2", "ar"),  # digits of two systems
        ("१२", "de"),
        ("3.1 अ॰", "de"),
        ("999999 Bio.", "de"),
        ("1", "nowhere"),
        ("1", ""),
        ("1", "xx_YY"),
        ("1", "../de"),
        ("", "de"),
        ("1" + " " * 40, "de"),
    ],
)
def test_another_locale_is_read_as_strictly(text, locale):
    with pytest.raises(UnreadableCount):
        parse_views_k(text, locale)


def test_words_with_two_meanings_in_one_locale_are_refused():
    with pytest.raises(UnreadableCount, match="two meanings"):
        parse_views_k("5.7 करोड", "ne")


@given(st.text(max_size=40), st.sampled_from(LOCALES))
def test_any_text_is_a_count_or_refused_in_every_locale(text, locale):
    try:
        count = parse_views_k(text, locale)
    except UnreadableCount:
        return
    assert 0 <= count.views_k * 1_000 <= MAX_VIEWS
