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

from typing import ClassVar


class CatalogError(Exception):
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
