"""Replace an author's handle by a keyed hash: groups stay together, nobody is named."""

import hashlib
import hmac
import os
import secrets
from contextlib import suppress
from pathlib import Path

from scraper.errors import BadSalt

SALT_FILE = "author.salt"
MIN_SALT_CHARS = 16


def author_key(handle: str, salt: bytes) -> str:
    """Hash a handle with the installation's own key: the same author, the same 32 hex digits."""
    return hmac.new(salt, handle.casefold().encode(), hashlib.sha256).hexdigest()[:32]


def load_salt(folder: Path, given: str = "") -> bytes:
    """Return the key: the given one, else that of the folder, which is made at first use.

    The file is readable by its owner only. Losing it splits the authors of old and new rows.
    Raises BadSalt for a file without a key.
    """
    if given:
        return given.encode()
    file = folder / SALT_FILE
    folder.mkdir(parents=True, exist_ok=True)
    if not file.exists():
        _make_salt(file)
    salt = file.read_bytes().strip()
    if len(salt) < MIN_SALT_CHARS:
        raise BadSalt(
            f"{file} has {len(salt)} bytes where the key of the author hash should be: put it back "
            "from a backup, or delete the file and accept that old authors are no longer known"
        )
    return salt


def _make_salt(file: Path) -> None:
    # Linked when it is whole: of two first runs at once one makes it, and both read the same; one
    # that is killed here leaves no half of a key behind.
    new = file.with_name(f"{file.name}.{secrets.token_hex(8)}")
    try:
        with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as out:
            out.write(secrets.token_hex(32).encode())
            out.flush()
            os.fsync(out.fileno())
        with suppress(FileExistsError):
            os.link(new, file)
    finally:
        new.unlink(missing_ok=True)
