"""The rules about stored facts that more than one room applies."""

from datetime import UTC, datetime, timedelta

import pytest

from catalog.facts import Candidate, uploaded_at

START = datetime(2026, 1, 1, tzinfo=UTC)


def test_the_id_tells_the_upload_time_where_the_page_did_not():
    second = int(START.timestamp())
    row = Candidate(1, str(second << 32), None, None, START + timedelta(days=3))
    assert uploaded_at(row) == START


@pytest.mark.parametrize("tiktok_id", ["7", "abc", "٣", str(2**70), str(int(4e9) << 32)])
def test_an_id_without_a_time_falls_back_to_first_sight(tiktok_id):
    assert uploaded_at(Candidate(1, tiktok_id, None, None, START)) == START


@pytest.mark.parametrize(
    ("hours", "is_told"), [(-1, True), (23, True), (25, False), (9_000, False)]
)
def test_an_id_of_a_later_day_than_the_first_sight_tells_no_time(hours, is_told):
    """Clocks differ by hours, not by days: such a number is no id with a time in it."""
    told = START + timedelta(hours=hours)
    row = Candidate(1, str(int(told.timestamp()) << 32), None, None, START)
    assert uploaded_at(row) == (told if is_told else START)
