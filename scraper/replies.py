"""Read what a reply says beside its content: its status, its JSON, its hydration script."""

import re
from datetime import UTC, datetime

from scraper.backoff import parse_retry_after
from scraper.capture import Body
from scraper.errors import Blocked, BlockMark, NoSuchHashtag, PageChanged, SiteFailed
from scraper.items import Json, child, load_json

HYDRATION = re.compile(
    r"<script\b[^>]*\bid=\"__UNIVERSAL_DATA_FOR_REHYDRATION__\"[^>]*>(.*?)</script>", re.DOTALL
)
TITLE = re.compile(r"<title>(.*?)</title>", re.DOTALL)
CAPTCHA = re.compile(r"<div\b[^>]*\bid=\"tiktok-verify-ele\"|<div\b[^>]*\bclass=\"[^\"]*captcha")
TAG = re.compile(r"<[^<>]*>")
WAITING = re.compile(r"\bclass=\"BASE64\"")
# How a page begins its title that is there in place of the one asked for.
BLOCKED_TITLES: dict[str, BlockMark] = {
    "Access Denied": "forbidden",
    "Log in": "login",
    "Please wait": "waf",
    "Verify to continue": "captcha",
}
CAPTCHA_STATUS, NO_SUCH_HASHTAG = 10000, 10205


def check_status(status: int, where: str, retry_after: str = "") -> None:
    """Raise Blocked or SiteFailed for an HTTP status that is no page; 0 means not known."""
    wish_s = parse_retry_after(retry_after, datetime.now(UTC))
    # A site that is busy and says when to come again is one that has too much of us.
    if status == 429 or (status == 503 and wish_s is not None):
        raise Blocked(f"{where} answered {status}", mark="rate_limited", retry_after_s=wish_s)
    if status in (401, 403):
        raise Blocked(f"{where} answered {status}", mark="forbidden", retry_after_s=wish_s)
    if status >= 400:
        raise SiteFailed(f"{where} answered {status} instead of 200")


def mark_of_title(title: str) -> BlockMark | None:
    """Tell by a page's title why it is there in place of the one asked for; None: it is not."""
    found = (mark for start, mark in BLOCKED_TITLES.items() if title.startswith(start))
    return next(found, None)


def read_scope(text: str) -> Json:
    """Read the hydration script's text into the data by part of the page. Raises PageChanged."""
    scope = child(load_json(text), "__DEFAULT_SCOPE__")
    if not scope:
        raise PageChanged("hydration data without __DEFAULT_SCOPE__")
    return scope


def read_hydration(html: str) -> Json:
    """Find and read the hydration data of a page. Raises Blocked and PageChanged."""
    match = HYDRATION.search(html)
    if match is not None:
        return read_scope(match[1])
    title = TITLE.search(html)
    shown = title[1].strip()[:80] if title else ""
    mark = mark_of_title(shown)
    if CAPTCHA.search(html):
        mark = "captcha"
    elif WAITING.search(html):
        mark = "waf"
    if mark is not None:
        raise Blocked(f"a page {shown!r} in place of the one asked for ({mark})", mark=mark)
    if not TAG.sub("", html).strip():
        raise Blocked("a page with nothing in it", mark="empty")
    raise PageChanged(f"a page {shown!r} without hydration data")


def read_answer(body: Body) -> Json:
    """Read a reply's JSON, and raise what its status says."""
    where = "the listing" if "item_list" in body.url else "the hashtag's detail"
    check_status(body.status, where, body.retry_after)
    if not body.text.strip():
        raise Blocked(f"{where} came back empty", mark="empty")
    answer = load_json(body.text)
    code = answer.get("statusCode", answer.get("status_code", 0))
    if answer.get("type") == "verify":
        raise Blocked(f"{where} asks for a proof that we are no program", mark="verify")
    if code == CAPTCHA_STATUS:
        raise Blocked(f"{where} asks for a captcha (status {code})", mark="captcha")
    if code == NO_SUCH_HASHTAG:
        raise NoSuchHashtag(f"the site has no such hashtag (status {code})")
    if code not in (0, "0"):
        raise SiteFailed(f"{where} has status {_shown(code)} instead of 0")
    return answer


def _shown(value: object) -> str:
    return repr(value)[:80]
