"""What can go wrong with the catalog.

CatalogError
├── SchemaBehind       the schema is not at this program's revision (exit 3)
├── NotReady           the database cannot be used as configured (exit 3)
├── BadSettings        a setting that is unknown or of the wrong type (exit 3)
├── NotFound           a name that is not in the catalog
├── NameTaken          a name that already means something else
├── BadValue           a value the catalog refuses to store
├── BadQuery           a report query the database refuses
├── AlreadyDone        the slot is held by a running or finished run (exit 5)
├── Busy               somebody else holds the lease or the lock (exit 5)
├── RunLost            this run was taken for dead and is no longer ours
└── BudgetExceeded     too many rows of this run failed (exit 6)
"""

import re
from os import PathLike
from typing import ClassVar

# As Python keeps a byte of a file's name that is no UTF-8: no encoding takes it.
NO_UTF8 = re.compile("[\udc80-\udcff]")


def readable(text: str) -> str:
    r"""Return a text that can be printed and stored: a name's byte that is no UTF-8 as \xe9."""
    return NO_UTF8.sub(lambda byte: f"\\x{ord(byte[0]) - 0xDC00:02x}", text)


# They join the parts of emoji, or keep words apart, and steer nothing.
_SHOWN = frozenset(
    "\N{ZERO WIDTH JOINER}\N{ZERO WIDTH NON-JOINER}\N{NO-BREAK SPACE}"
    "\N{NARROW NO-BREAK SPACE}\N{IDEOGRAPHIC SPACE}"
)


def name_text(path: str | PathLike[str]) -> str:
    r"""Write a file's name on one line, to be printed, stored and sent as JSON.

    What cannot be shown is escaped: \xe9 for a byte that is no UTF-8, \n, \x1b, \u202e.
    """
    name = str(path)
    return name if name.isprintable() else "".join(map(_one_shown, name))


def _one_shown(char: str) -> str:
    if char.isprintable() or char in _SHOWN:
        return char
    plain = readable(char)
    return plain if plain != char else char.encode("unicode_escape").decode()


def masked_url(url: str) -> str:
    """Return the address of a database or a proxy with stars in place of its password."""
    # A proxy's user alone may be the key to it.
    url = re.sub(r"^((?:https?|socks5h?)://)[^:/@\s]+@", r"\1***@", url)
    url = re.sub(r"(://[^:/@]*:)[^/\s]*@", r"\1***@", url)
    # libpq takes it behind the name of the database, too.
    return re.sub(r"([?&](?:ssl)?password=)[^&\s]+", r"\1***", url)


class PrintableError(Exception):
    """An error whose words can be printed and stored, whatever names of files are among them."""

    def __str__(self) -> str:
        return readable(super().__str__())


class CatalogError(PrintableError):
    """Stand for every known way in which the catalog says no."""

    exit_code: ClassVar[int] = 1


class SchemaBehind(CatalogError):
    """Say that the schema and this program do not belong together."""

    exit_code: ClassVar[int] = 3


class NotReady(CatalogError):
    """Say that the database address, driver or folder is not usable."""

    exit_code: ClassVar[int] = 3


class BadSettings(CatalogError):
    """Name the setting, its source, and what is wrong with it.

    origin: the source, such as "environment" or "flag"; empty where it is no single setting.
    """

    exit_code: ClassVar[int] = 3

    def __init__(self, message: str, *, origin: str = "") -> None:
        super().__init__(message)
        self.origin = origin


class NotFound(CatalogError):
    """Say that a name is unknown, and which names exist."""


class NameTaken(CatalogError):
    """Say that a name already stands for something else."""


class BadValue(CatalogError):
    """Refuse a value that would be a wrong number or an impossible fact."""


class BadQuery(CatalogError):
    """Pass on why the database refused a report query."""


class AlreadyDone(CatalogError):
    """Say that the slot is running or done, so there is nothing to do."""

    exit_code: ClassVar[int] = 5


class Busy(CatalogError):
    """Say who holds the lease or the lock, and until when where that is known."""

    exit_code: ClassVar[int] = 5


class RunLost(CatalogError):
    """Stop a run that another process has declared dead and may be repeating."""


class BudgetExceeded(CatalogError):
    """Stop a run in which too many rows fail for it to be the rows' fault."""

    exit_code: ClassVar[int] = 6
