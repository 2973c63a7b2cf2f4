"""What can be wrong with a file that somebody brings.

ImportRefused
├── UnknownFormat   nothing in the file says what it is, or it is something else (exit 2)
├── BadColumns      a table without the columns we need, or with two for one thing (exit 2)
├── BadOption       an option that cannot be, or that contradicts the file (exit 2)
├── ExtraMissing    a format that needs a package which is not installed (exit 3)
└── RowRefused      one row that is no usable video; the others are not touched
"""

from typing import ClassVar

from scraper.errors import ScrapeError

MAX_DETAIL_CHARS = 500


class ImportRefused(ScrapeError):
    """Name the file, and what would have been right."""

    code: ClassVar[str] = "import_refused"
    permanent: ClassVar[bool] = True

    def __init__(self, message: str) -> None:
        """Keep to one line, whatever a file is named or says of its columns."""
        super().__init__(printable(message))


class UnknownFormat(ImportRefused):
    """Say what was found, and which formats there are."""

    exit_code: ClassVar[int] = 2
    code: ClassVar[str] = "unknown_format"


class BadColumns(ImportRefused):
    """Name the columns of the file and the option that says which is which."""

    exit_code: ClassVar[int] = 2
    code: ClassVar[str] = "bad_columns"


class BadOption(ImportRefused):
    """Show the option, and what would have been right."""

    exit_code: ClassVar[int] = 2
    code: ClassVar[str] = "bad_option"


class ExtraMissing(ImportRefused):
    """Name the extra to install."""

    exit_code: ClassVar[int] = 3
    code: ClassVar[str] = "extra_missing"


class RowRefused(ImportRefused):
    """Give the reason's code, and in words what was there and what would have been right."""

    code: ClassVar[str] = "row_refused"

    def __init__(self, reason: str, detail: str, tiktok_id: str | None = None) -> None:
        """Refuse a row; tiktok_id is None where it has no valid one."""
        self.reason, self.tiktok_id = reason, tiktok_id
        self.detail = one_line(detail)
        super().__init__(f"{reason}: {self.detail}")


def one_line(text: str) -> str:
    """Return a text that any database, log and terminal takes, cut to what is worth keeping."""
    return printable(text[:MAX_DETAIL_CHARS])


def printable(text: str) -> str:
    """Return a text – a file's name may be anything – on one line, without what cannot be shown."""
    plain = "".join(letter if letter.isprintable() else " " for letter in text)
    return plain.encode("utf-8", "replace").decode("utf-8")


def shown(value: object) -> str:
    """Return a foreign value as it can be quoted in a message."""
    if isinstance(value, (list, dict)):
        return f"{'an object' if isinstance(value, dict) else 'a list'} of {len(value)}"
    if isinstance(value, int) and abs(value) > 10**30:
        return "a number of more than 30 digits"
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:79]}…"
