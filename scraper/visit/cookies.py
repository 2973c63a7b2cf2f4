"""A visitor's cookies from a cookies.txt: which there are, and which of them are a site's own.

Nothing here puts a value into a message: whoever has it is that visitor to the site.
"""

import logging
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from scraper.errors import BadCookies
from scraper.politeness import Site

log = logging.getLogger(__name__)

HEADER = "# Netscape HTTP Cookie File"
# What browsers' own exports write in front of the domain; the line is no comment.
HTTP_ONLY = "#HttpOnly_"
COLUMNS = ("domain", "include subdomains", "path", "secure", "expiry", "name", "value")
FLAGS = {"TRUE": True, "FALSE": False}


@dataclass(frozen=True)
class Cookie:
    """One cookie; expires_s: seconds since 1970, 0 for one that ends with the session."""

    domain: str
    with_subdomains: bool
    path: str
    is_secure: bool
    expires_s: int
    name: str
    value: str = field(repr=False)
    is_http_only: bool = False


def read_cookies(path: Path) -> list[Cookie]:
    """Read a file in Netscape's form. Raises BadCookies, with the line and never its value."""
    try:
        lines = path.expanduser().read_text(encoding="utf-8-sig").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise BadCookies(f"browser.cookies: {path} cannot be read: {reason}") from error
    cookies = []
    for number, line in enumerate(lines, start=1):
        text = line.rstrip("\r")
        if not text.strip() or (text.startswith("#") and not text.startswith(HTTP_ONLY)):
            continue
        try:
            cookies.append(_read_line(text))
        except ValueError as error:
            raise BadCookies(f"browser.cookies: {path}, line {number}: {error}") from error
    if not cookies:
        raise BadCookies(f"browser.cookies: {path} has no cookie; expected Netscape's cookies.txt")
    return cookies


def _read_line(text: str) -> Cookie:
    cells = text.removeprefix(HTTP_ONLY).split("\t")
    if len(cells) != len(COLUMNS):
        raise ValueError(f"{len(cells)} columns, expected {len(COLUMNS)} with tabs between them")
    domain, subdomains, path, secure, expiry, name, value = cells
    for flag, column in ((subdomains, COLUMNS[1]), (secure, COLUMNS[3])):
        if flag.upper() not in FLAGS:
            raise ValueError(f"{column!r} is neither TRUE nor FALSE")
    plain = domain.lower().lstrip(".")
    if not plain or not plain.isascii() or any(c.isspace() or c in "/:@" for c in plain):
        raise ValueError("a domain that is none")
    if not path.startswith("/"):
        raise ValueError("a path that does not begin with a slash")
    if not (expiry.removeprefix("-").partition(".")[0] or "0").isdecimal():
        raise ValueError("an expiry that is no number of seconds")
    if not name or not all(c.isascii() and c.isprintable() and c != ";" for c in name + value):
        raise ValueError("a name or a value that no cookie can have")
    return Cookie(
        domain=plain,
        with_subdomains=FLAGS[subdomains.upper()],
        path=path,
        is_secure=FLAGS[secure.upper()],
        # Some exports write -1, or nothing, for the session's.
        expires_s=max(int(expiry.partition(".")[0] or 0), 0),
        name=name,
        value=value,
        is_http_only=text.startswith(HTTP_ONLY),
    )


def own_cookies(cookies: Iterable[Cookie], site: Site, now_s: float | None = None) -> list[Cookie]:
    """Return those of the site's own hosts that are not over; what is left aside is counted.

    Raises BadCookies where there is none.
    """
    now_s = time.time() if now_s is None else now_s
    kept: list[Cookie] = []
    n_foreign = n_over = 0
    for cookie in cookies:
        if not site.may_see_cookies(f"{site.base_url.partition(':')[0]}://{cookie.domain}/"):
            n_foreign += 1
        elif 0 < cookie.expires_s <= now_s:
            n_over += 1
        else:
            kept.append(cookie)
    log.info(
        "%d cookies for %s; left aside: %d of other sites, %d that are over",
        len(kept),
        site.host,
        n_foreign,
        n_over,
    )
    if not kept:
        raise BadCookies(
            f"browser.cookies: none is of {site.host} and valid still: {n_foreign} are of other "
            f"sites, {n_over} are over; export them again while you are signed in"
        )
    return kept


def for_browser(cookie: Cookie, site: Site) -> dict[str, Any]:
    """Return a cookie as DevTools takes it."""
    found: dict[str, Any] = {
        "name": cookie.name,
        "value": cookie.value,
        "path": cookie.path,
        "secure": cookie.is_secure,
        "httpOnly": cookie.is_http_only,
    }
    if cookie.with_subdomains:
        found["domain"] = cookie.domain
    else:
        # With an address in place of a domain it is that host's alone.
        scheme = "https" if cookie.is_secure else site.base_url.partition(":")[0]
        found["url"] = f"{scheme}://{cookie.domain}/"
    if cookie.expires_s:
        found["expires"] = cookie.expires_s
    return found


def for_file(cookies: Iterable[Cookie]) -> str:
    """Return cookies as the text of a cookies.txt."""
    lines = [HEADER]
    for cookie in cookies:
        dot = "." if cookie.with_subdomains else ""
        cells = (
            f"{dot}{cookie.domain}",
            str(cookie.with_subdomains).upper(),
            cookie.path,
            str(cookie.is_secure).upper(),
            str(cookie.expires_s),
            cookie.name,
            cookie.value,
        )
        lines.append((HTTP_ONLY if cookie.is_http_only else "") + "\t".join(cells))
    return "\n".join(lines) + "\n"
