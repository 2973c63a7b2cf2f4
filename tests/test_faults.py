"""The table of faults in docs/data.md: each line is what happens when it is tried."""

from pathlib import Path

import pytest

from scraper.replica.faults import FAULTS
from tests import faults

pytestmark = [pytest.mark.chromium, pytest.mark.ffmpeg]


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("clips")


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_ends_as_the_table_says(name: str, clips: Path) -> None:
    came = faults.provoke(name, clips)

    assert came.n_left == 0
    table = faults.BLOCK.search(faults.PAGE.read_text(encoding="utf-8"))
    assert table is not None
    assert came.line() in table[0].splitlines(), "if that is right: python -m tests.faults"
