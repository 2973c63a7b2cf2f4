"""Replace an author's handle by a keyed hash: groups stay together, nobody is named."""

import hmac
import secrets
from pathlib import Path

from catalog.files import atomic_file
from scraper.errors import BadSalt

SALT_FILE = "author.salt"
MIN_SALT_CHARS = 16


def author_key(handle: str, salt: bytes) -> str:
    """Hash a handle with the installation's own key: the same author, the same 32 hex digits."""
    # In one call: as an object it costs four times as much, for each row of an import.
    return hmac.digest(salt, handle.casefold().encode(), "sha256").hex()[:32]


def load_salt(folder: Path, given: str = "") -> bytes:
    """Return the key: the given one, else that of the folder, which is made at first use.

    The file is readable by its owner only. Losing it splits the authors of old and new rows.
    Raises BadSalt for a file without a key.
    """
    if given:
        return given.encode()
    file = folder / SALT_FILE
    if not file.exists():
        # Of two first runs at once one makes it, and both read the same.
        with atomic_file(file, replace=False) as new:
            new.touch(mode=0o600, exist_ok=False)
            new.write_text(secrets.token_hex(32))
    salt = file.read_bytes().strip()
    if len(salt) < MIN_SALT_CHARS:
        raise BadSalt(
            f"{file} has {len(salt)} bytes where the key of the author hash should be: put it back "
            "from a backup, or delete the file and accept that old authors are no longer known"
        )
    return salt
