"""Read lists of addresses: lines, a table's column, and what TikTok gives its users of theirs."""

import csv
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass

from scraper.errors import BadColumns, UnknownFormat

# Names of the column or key that holds an address, as they are without case and separators.
ADDRESS_NAMES = frozenset(
    {"url", "link", "videolink", "videourl", "webvideourl", "webpageurl", "shareurl", "address"}
)
# Read where a table has none of these.
ID_NAMES = frozenset({"id", "videoid", "tiktokid", "awemeid"})
# And these where it has neither: what names an account needs no @ there.
ACCOUNT_NAMES = frozenset({"username", "handle", "uniqueid", "account", "authorusername"})
COMMENT = re.compile(r"#(?:\s|!|$|\S+\s)|[;]|//")
# The text files of TikTok's own data download: "Date: …" and "Link: …" in turn.
LINK_LINE = re.compile(r"\s*(?:video ?)?link\s*:\s*(\S+)\s*", re.IGNORECASE)
SPLITTERS = (",", ";", "\t")


@dataclass(frozen=True)
class ListedText:
    """One entry of a list; line: from 1, the number of the entry in JSON or on a command line."""

    line: int
    text: str


@dataclass(frozen=True)
class AddressList:
    """The entries of a list; columns_left: of a table, those that are not read."""

    source: str
    entries: tuple[ListedText, ...]
    columns_left: tuple[str, ...] = ()


def read_list(content: bytes, name: str) -> AddressList:
    """Read the entries of a list, whatever form it has; name: of the file, for messages.

    Raises UnknownFormat, BadColumns.
    """
    text = _decoded(content, name)
    if text.lstrip()[:1] in ("{", "["):
        return AddressList(name, _of_json(text, name))
    lines = text.splitlines()
    links = [(number, LINK_LINE.fullmatch(line)) for number, line in enumerate(lines, 1)]
    found = tuple(ListedText(number, match[1]) for number, match in links if match)
    if found:
        return AddressList(name, found)
    if splitter := _splitter(lines, name):
        return _of_table(lines, splitter, name)
    plain = ((number, line.strip()) for number, line in enumerate(lines, 1))
    entries = (ListedText(n, line) for n, line in plain if line and not COMMENT.match(line))
    return AddressList(name, tuple(entries))


def _decoded(content: bytes, name: str) -> str:
    is_wide = content[:2] in (b"\xff\xfe", b"\xfe\xff")
    try:
        text = content.decode("utf-16" if is_wide else "utf-8-sig")
    except UnicodeDecodeError as error:
        raise UnknownFormat(f"{name}: no text in UTF-8 or UTF-16: {error}") from error
    if "\0" in text:
        raise UnknownFormat(f"{name}: no text; expected lines, a CSV, or TikTok's own JSON")
    return text


def _of_json(text: str, name: str) -> tuple[ListedText, ...]:
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UnknownFormat(f"{name}: JSON that cannot be read: {error}") from error
    found = list(_addresses(document))
    if not found:
        keys = ", ".join(sorted(ADDRESS_NAMES))
        raise UnknownFormat(f"{name}: JSON without addresses, whose keys are: {keys}")
    return tuple(ListedText(number, address) for number, address in enumerate(found, 1))


def _addresses(document: object) -> Iterator[str]:
    """Give the addresses in a document in its order: under their keys, or as plain lists."""
    # A stack and no recursion: how deep it goes is up to the file.
    open_parts: list[object] = [document]
    while open_parts:
        part = open_parts.pop()
        if isinstance(part, dict):
            for key, value in part.items():
                if isinstance(value, str) and value.strip() and _plain(key) in ADDRESS_NAMES:
                    yield value
            open_parts += reversed([v for v in part.values() if isinstance(v, (dict, list))])
        elif isinstance(part, list):
            for value in part:
                if isinstance(value, str) and value.strip():
                    yield value
            open_parts += reversed([v for v in part if isinstance(v, (dict, list))])


def _splitter(lines: list[str], name: str) -> str | None:
    """Tell what parts a table's cells by its first line; None where it is no table."""
    head = next((line for line in lines if line.strip()), "")
    if _plain(head) in ADDRESS_NAMES | ID_NAMES | ACCOUNT_NAMES and not head.startswith("@"):
        return ","  # one column
    found = max(SPLITTERS, key=head.count)
    if found not in head or "://" in head:
        return None
    cells = next(csv.reader([head], delimiter=found))
    if not {_plain(cell) for cell in cells} & (ADDRESS_NAMES | ID_NAMES | ACCOUNT_NAMES):
        raise BadColumns(
            f"{name}: none of its columns is an address: {', '.join(cells)[:200]}; expected a "
            "column url, link, video_url, id or username"
        )
    return found


def _of_table(lines: list[str], splitter: str, name: str) -> AddressList:
    rows = csv.reader(lines, delimiter=splitter)
    entries: list[ListedText] = []
    names: list[str] = []
    column, is_account = 0, False
    try:
        for row in rows:
            if not any(cell.strip() for cell in row):
                continue
            if names:
                text = row[column].strip() if column < len(row) else ""
                if is_account and re.fullmatch(r"[\w.-]+", text):
                    text = f"@{text}"
                entries.append(ListedText(rows.line_num, text))
                continue
            names = row
            plain = [_plain(cell) for cell in row]
            column = next(
                plain.index(cell)
                for known in (ADDRESS_NAMES, ID_NAMES, ACCOUNT_NAMES)
                for cell in plain
                if cell in known
            )
            is_account = plain[column] in ACCOUNT_NAMES
    except csv.Error as error:
        raise UnknownFormat(f"{name}: line {rows.line_num} is no CSV: {error}") from error
    left = tuple(cell.strip() for i, cell in enumerate(names) if i != column and cell.strip())
    return AddressList(name, tuple(entries), left)


def _plain(name: object) -> str:
    return re.sub(r"[\s_\-\"'.]+", "", str(name)).lower()
