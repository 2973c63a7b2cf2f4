import pytest
from hypothesis import given
from hypothesis import strategies as st

from scraper.counts import MAX_VIEWS, ViewCount, count_from_json, parse_views_k
from scraper.errors import UnreadableCount
from scraper.replica.counts import round_count, show_count


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
