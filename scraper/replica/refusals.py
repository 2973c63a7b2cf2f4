"""Faults by which the site refuses a visitor, or fails: statuses, walls, waits, empty bodies."""

from typing import Any

from scraper.replica import items
from scraper.replica.edits import add_script, edit_page, file_of
from scraper.replica.media import denied
from scraper.replica.messages import HTML, JSON, Endless, Reply, Visit
from scraper.replica.replies import json_reply, page_reply, redirect

CAPTCHA_STATUS, NO_SUCH_HASHTAG = 10000, 10205
CAPTCHA = (
    '<div id="tiktok-verify-ele" class="captcha-disable-scroll">'
    '<div class="captcha_verify_container"><p>Drag the slider to fit the puzzle</p></div></div>'
)
WAF = (
    "<!DOCTYPE html><html><head><title>Please wait...</title></head><body>"
    '<p id="cs" class="{}"></p><p id="wci" class="_wafchallengeid"></p>'
    '<p id="rci" class="waforiginalreid"></p><p>Please wait...</p></body></html>'
).format("BASE64")
# Lets so many parts of the listing through; at the next request it shows something, and after
# `behind` further parts nothing comes any more.
WALL = """
(() => {
  const fetched = window.fetch;
  let nAsked = 0;
  const show = () => {
    if (document.getElementById('wall')) return;
    const wall = document.createElement('div');
    wall.id = 'wall';
    wall.innerHTML = `MARKUP`;
    document.body.appendChild(wall);
    const close = wall.querySelector('[data-e2e=modal-close-inner-button]');
    if (close) close.addEventListener('click', () => wall.remove());
    NOTE
  };
  window.fetch = function (...given) {
    if (!String(given[0]).includes('/item_list/')) return fetched.apply(this, given);
    nAsked += 1;
    if (nAsked > AFTER) show();
    return nAsked > AFTER + BEHIND ? new Promise(() => {}) : fetched.apply(this, given);
  };
})();
"""
MODAL = (
    '<div id="login-modal" role="dialog" aria-modal="true" data-e2e="login-modal">'
    '<div id="loginContainer"><h2 id="login-modal-title" data-e2e="login-title">Log in to TikTok'
    '</h2><div data-e2e="channel-item">Continue as guest</div></div>'
    '<button data-e2e="modal-close-inner-button" aria-label="Close">x</button></div>'
)


def empty_body(visit: Visit, *, after: int) -> Reply | None:
    """Answer 200 with nothing in it."""
    if _is_late_part(visit, after):
        return Reply(200, b"", JSON)
    return Reply(200, b"", HTML) if visit.place == "video" else None


def verify_json(visit: Visit, *, after: int) -> Reply | None:
    """Ask for a captcha in JSON; a video's own page has the status that means the same."""
    if _is_late_part(visit, after):
        return json_reply({"type": "verify"})
    if visit.place == "video":
        return without_item(visit, CAPTCHA_STATUS, "")
    return None


def captcha(visit: Visit, *, after: int) -> Reply | None:
    """Lay a captcha over the page; nothing is listed behind it."""
    if visit.place == "video" or (visit.place == "page" and after == 0):
        return page_reply(f"<!DOCTYPE html><title>TikTok - Make Your Day</title>{CAPTCHA}")
    if visit.place == "page":
        return add_script(visit.usual(), _wall(CAPTCHA, after, 0, note="fetched('/captcha/get');"))
    return None


def login_wall(visit: Visit) -> Reply | None:
    """Send every visitor to the login page."""
    if visit.place in ("page", "video"):
        return redirect(f"/login?redirect_url={visit.path}&lang=en&enter_method=mandatory")
    return None


def login_modal(visit: Visit, *, after: int, behind: int) -> Reply | None:
    """Lay a login dialog over the page; some more is listed behind it, then nothing comes."""
    if visit.place == "page":
        return add_script(visit.usual(), _wall(MODAL, after, behind))
    return None


def waf_wait(visit: Visit) -> Reply | None:
    """Answer with a page that wants a proof of work first."""
    return page_reply(WAF) if visit.place != "file" else None


def no_such_hashtag(visit: Visit) -> Reply | None:
    """Know nothing of the hashtag; its page is there all the same."""
    if visit.place in ("detail", "listing"):
        return json_reply(items.envelope(0.0, NO_SUCH_HASHTAG))
    return None


def rate_limit(visit: Visit, *, retry_after_s: int, after: int) -> Reply | None:
    """Answer 429 and say when to come again."""
    if not _is_late(visit, after):
        return None
    headers = (("Retry-After", str(retry_after_s)),)
    return Reply(429, b"Too Many Requests\n", "text/plain", headers)


def forbidden(visit: Visit, *, after: int) -> Reply | None:
    """Answer 403."""
    return denied() if _is_late(visit, after) else None


def server_error(visit: Visit, *, after: int) -> Reply | None:
    """Answer 500."""
    if not _is_late(visit, after):
        return None
    return Reply(500, b"Internal Server Error\n", "text/plain")


def slow(visit: Visit, *, delay_s: float) -> Reply:
    """Answer as usual, but late."""
    usual = visit.usual()
    return Reply(usual.status, usual.body, usual.content_type, usual.headers, delay_s)


def endless_body(visit: Visit, *, mb_per_s: float, after: int) -> Reply | None:
    """Begin as usual and never end: a part of the listing, and files."""
    bytes_per_s = mb_per_s * 1e6
    # About twenty blocks a second; less than a byte cannot be sent.
    size = max(1, min(1 << 16, int(bytes_per_s / 20)))
    if visit.place == "file":
        whole = file_of(visit)
        if whole is None:
            return None
        with whole.path.open("rb") as file:
            head = file.read(size)
        return Reply(200, Endless(head, bytes(size), bytes_per_s), "video/mp4")
    if _is_late_part(visit, after):
        return Reply(200, Endless(b'{"itemList":[', b" " * size, bytes_per_s), JSON)
    if after == 0 and visit.place in ("page", "video"):
        return Reply(200, Endless(b"<!DOCTYPE html><p>", b"x" * size, bytes_per_s), HTML)
    return None


def without_item(visit: Visit, status: int, words: str) -> Reply:
    """A video's page that has a status code in place of the video."""

    def edit(scope: dict[str, Any]) -> None:
        scope["webapp.video-detail"] = {"statusCode": status, "statusMsg": words}

    return edit_page(visit.usual(), edit)


def _is_late_part(visit: Visit, after: int) -> bool:
    return visit.place == "listing" and visit.part >= after


def _is_late(visit: Visit, after: int) -> bool:
    """Whether it is refused: late parts of the listing, videos, files; with 0 all there is."""
    return after == 0 or visit.place in ("video", "file") or _is_late_part(visit, after)


def _wall(markup: str, after: int, behind: int, note: str = "") -> str:
    script = WALL.replace("MARKUP", markup).replace("NOTE", note)
    return script.replace("AFTER", str(after)).replace("BEHIND", str(behind))
