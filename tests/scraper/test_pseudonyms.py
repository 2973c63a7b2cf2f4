"""Author keys: stable, keyed, and nameless."""

import stat
from pathlib import Path

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
