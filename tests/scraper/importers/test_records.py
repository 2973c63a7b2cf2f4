from datetime import UTC, datetime

import pytest

from scraper.importers.errors import RowRefused
from scraper.importers.records import ImportOptions, Source, rejected
from tests.scraper.importers.rows import WRITTEN_AT

THEN = datetime(2026, 1, 1, tzinfo=UTC)


def test_who_knows_best_says_when_a_count_was_taken(files):
    path = files.write("a", "x")
    silent, told = (Source.of(path, ImportOptions(observed_at=when)) for when in (None, THEN))

    assert silent.observed_at(None) == (WRITTEN_AT, False)
    assert told.observed_at(None) == (THEN, True)
    assert told.observed_at(WRITTEN_AT) == (WRITTEN_AT, True)


@pytest.mark.parametrize(("reason", "is_skip"), [("ad", True), ("photo", True), ("bad_id", False)])
def test_what_is_only_no_video_is_skipped(reason, is_skip):
    row = rejected(7, b"row", RowRefused(reason, "why", "1"), "a.info.json")

    assert (row.is_skip, row.line, row.tiktok_id, row.file) == (is_skip, 7, "1", "a.info.json")
