"""A folder for the files of one test."""

import pytest

from tests.scraper.importers.rows import Files


@pytest.fixture
def files(tmp_path):
    return Files(tmp_path)
