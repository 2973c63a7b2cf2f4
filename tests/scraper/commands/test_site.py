"""The commands that visit the site: how they read their options, and that they refuse to."""

from datetime import timedelta
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from catalog.console import DURATION
from catalog.schema.session import upgrade
from cli import main


def viewcast(data: Path, *words: str, **environment: str) -> Result:
    return CliRunner(env=environment).invoke(main, ["--data", str(data), *words])


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A data folder with an empty catalog."""
    upgrade(f"sqlite:///{tmp_path / 'catalog.db'}")
    return tmp_path


@pytest.mark.parametrize(
    ("text", "length"),
    [
        ("90s", timedelta(seconds=90)),
        ("1.5h", timedelta(minutes=90)),
        ("1d", timedelta(days=1)),
        ("2w", timedelta(days=14)),
        ("0s", timedelta(0)),
    ],
)
def test_a_length_of_time_has_its_unit(text: str, length: timedelta) -> None:
    assert DURATION.convert(text, None, None) == length


@pytest.mark.parametrize("text", ["", "1", "d", "-1d", "1y", "1 d", "1e3s", "١d", "999999w"])
def test_what_is_no_length_of_time_is_refused(text: str) -> None:
    with pytest.raises(click.BadParameter, match="30m"):
        DURATION.convert(text, None, None)


@pytest.mark.parametrize("command", ["scrape", "refresh", "fetch"])
def test_the_live_site_is_refused_without_leave(data: Path, command: str) -> None:
    result = viewcast(data, command)
    assert result.exit_code == 3
    assert "site.allow_live" in result.output


def test_refresh_says_what_it_would_look_at(data: Path) -> None:
    result = viewcast(data, "refresh", "--older-than", "12h", "--dry-run")
    assert result.exit_code == 0
    assert "n_videos: 0" in result.output


def test_an_unknown_fault_of_the_replica_lists_the_known_ones(data: Path) -> None:
    result = viewcast(data, "replica", "--fault", "sports=?")
    assert result.exit_code == 2
    assert "rate_limit" in result.output
