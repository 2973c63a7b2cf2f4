"""Tables of report rows as HTML."""

import html
from collections.abc import Callable, Sequence
from typing import Any

Columns = Sequence[tuple[str, str]]


def section(title: str, columns: Columns, rows: Sequence[dict[str, Any]]) -> str:
    """Draw a heading and a table; columns: name in a row -> heading."""
    head = "".join(f"<th>{text(label)}</th>" for _, label in columns)
    if not rows:
        return f"<h2>{text(title)}</h2><p class='note'>Nothing yet.</p>"
    body = "".join(
        "<tr>" + "".join(_cell(name, row[name]) for name, _ in columns) + "</tr>" for row in rows
    )
    return (
        f"<h2>{text(title)}</h2><div class='wide'>"
        f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def _cell(name: str, value: object) -> str:
    if name in SHOWN and value is not None:
        return SHOWN[name](value)
    if value is None:
        return "<td>–</td>"
    if isinstance(value, bool) or not isinstance(value, int | float):
        return f"<td>{text(value)}</td>"
    if name.endswith("id") or isinstance(value, int):
        return f"<td class='n'>{value}</td>"
    return f"<td class='n'>{value:,.{'3g' if abs(value) < 100 else '0f'}}</td>"


def _verdict(value: object) -> str:
    tone = "good" if value == "better" else ""
    return f"<td class='{tone}'>{text(value)}</td>"


def _status(value: object) -> str:
    tone = "bad" if value in ("failed", "lost", "dead") else ""
    return f"<td class='{tone}'>{text(value)}</td>"


SHOWN: dict[str, Callable[[object], str]] = {
    "verdict": _verdict,
    "status": _status,
    "started_at": lambda value: f"<td>{text(str(value)[:16])}</td>",
    "finished_at": lambda value: f"<td>{text(str(value)[:16])}</td>",
    "config_hash": lambda value: f"<td>{text(str(value)[:12])}</td>",
}


def text(value: object) -> str:
    """Escape whatever it is."""
    # Captions, handles and error texts come from strangers.
    return html.escape(str(value), quote=True)
