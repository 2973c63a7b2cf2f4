"""Replies as the site gives them: pages, JSON, redirects."""

import json
from collections.abc import Mapping
from typing import Any

from scraper.replica.messages import HTML, JSON, Reply
from scraper.replica.pages import notice_page


def page_reply(text: str, cookies: Mapping[str, str] | None = None, status: int = 200) -> Reply:
    """Reply with a page that sets cookies."""
    headers = []
    for name, value in (cookies or {}).items():
        # The page's own script must be able to read msToken; the others are none of its business.
        flags = "" if name == "msToken" else "; HttpOnly"
        headers.append(("Set-Cookie", f"{name}={value}; Path=/; Max-Age=15552000{flags}"))
    return Reply(status, text.encode("utf-8"), HTML, tuple(headers))


def json_reply(answer: Mapping[str, Any]) -> Reply:
    return Reply(200, json.dumps(answer, ensure_ascii=False).encode("utf-8"), JSON)


def redirect(location: str, status: int = 302) -> Reply:
    return Reply(status, headers=(("Location", location),))


def not_found() -> Reply:
    return page_reply(notice_page("Page not available", "Sorry about that!"), status=404)
