"""Author keys: stable, keyed, and nameless."""

import os
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from scraper.errors import BadSalt
from scraper.pseudonyms import SALT_FILE, author_key, load_salt


def test_the_same_author_has_the_same_key_whatever_the_case() -> None:
    assert author_key("Some.One", b"salt") == author_key("some.one", b"salt")


def test_another_installation_gives_another_key() -> None:
    assert author_key("someone", b"salt") != author_key("someone", b"pepper")


def test_the_salt_is_made_once_and_readable_by_its_owner_only(tmp_path: Path) -> None:
    first = load_salt(tmp_path / "data")
    second = load_salt(tmp_path / "data")

    assert first == second
    assert len(first) == 64
    assert stat.S_IMODE((tmp_path / "data" / SALT_FILE).stat().st_mode) == 0o600


def test_a_given_salt_writes_no_file(tmp_path: Path) -> None:
    assert load_salt(tmp_path, "given") == b"given"
    assert not (tmp_path / SALT_FILE).exists()


def test_a_key_is_there_whole_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a second run, or the next one after a kill, would hash every author with nothing."""

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", killed)
    with pytest.raises(KeyboardInterrupt):
        load_salt(tmp_path)

    assert list(tmp_path.iterdir()) == []


def test_of_two_first_runs_both_have_the_same_key(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        keys = list(pool.map(lambda _: load_salt(tmp_path / "data"), range(32)))

    assert len({*keys}) == 1
    assert [path.name for path in (tmp_path / "data").iterdir()] == [SALT_FILE]


def test_an_empty_key_is_refused(tmp_path: Path) -> None:
    (tmp_path / SALT_FILE).touch()
    with pytest.raises(BadSalt, match="has 0 bytes"):
        load_salt(tmp_path)
