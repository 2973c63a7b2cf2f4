"""Replace an author's handle by a keyed hash: groups stay together, nobody is named."""

import hashlib
import hmac
import os
import secrets
from pathlib import Path

SALT_FILE = "author.salt"


def author_key(handle: str, salt: bytes) -> str:
    """Hash a handle with the installation's own key: the same author, the same 32 hex digits."""
    return hmac.new(salt, handle.casefold().encode(), hashlib.sha256).hexdigest()[:32]


def load_salt(folder: Path, given: str = "") -> bytes:
    """Return the key: the given one, else that of the folder, which is made at first use.

    The file is readable by its owner only. Losing it splits the authors of old and new rows.
    """
    if given:
        return given.encode()
    file = folder / SALT_FILE
    folder.mkdir(parents=True, exist_ok=True)
    try:
        # Exclusive: of two first runs at once, one writes and the other reads.
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return file.read_bytes()
    with os.fdopen(descriptor, "wb") as new:
        salt = secrets.token_hex(32).encode()
        new.write(salt)
    return salt
