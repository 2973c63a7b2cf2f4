"""Faults by which the site refuses a visitor or fails, and files that are not what they say."""

import re
import struct
import threading
import zlib
from collections import Counter
from urllib.parse import urlsplit

from scraper.replica import items
from scraper.replica.edits import (
    Fault,
    Visit,
    add_script,
    announce,
    body_of,
    edit_page,
    file_of,
    without_item,
)
from scraper.replica.messages import (
    DENIED,
    HTML,
    JSON,
    Endless,
    FileSlice,
    Reply,
    denied,
    json_reply,
    page_reply,
    redirect,
)

# An hour after the site's first video; long ago for every visitor.
LONG_AGO_S = 1_772_330_400
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
        return without_item(visit, items.CAPTCHA, "")
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
    """Know nothing of the hashtag, account or sound; its page is there all the same."""
    status = items.NO_SUCH_HASHTAG
    if visit.hashtag.startswith("@"):
        status = items.NO_SUCH_ACCOUNT
    elif visit.hashtag.startswith("sound:"):
        status = items.NO_SUCH_SOUND
    if visit.place in ("detail", "listing"):
        return json_reply(items.envelope(0.0, status))
    if visit.place != "page":
        return None

    def edit(scope: items.Json) -> None:
        for name in ("webapp.user-detail", "webapp.music-detail"):
            if name in scope:
                scope[name] = {"statusCode": status, "statusMsg": ""}

    return edit_page(visit.usual(), edit)


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


def _is_late_part(visit: Visit, after: int) -> bool:
    return visit.place == "listing" and visit.part >= after


def _is_late(visit: Visit, after: int) -> bool:
    """Whether it is refused: late parts of the listing, videos, files; with 0 all there is."""
    return after == 0 or visit.place in ("video", "file") or _is_late_part(visit, after)


def _wall(markup: str, after: int, behind: int, note: str = "") -> str:
    script = WALL.replace("MARKUP", markup).replace("NOTE", note)
    return script.replace("AFTER", str(after)).replace("BEHIND", str(behind))


def truncated_mp4(visit: Visit, *, share: float) -> Reply | None:
    """Send the beginning of a file as if it were all, and announce no more on the page."""
    if visit.place == "video":
        return announce(visit, lambda n_bytes: int(n_bytes * share))
    whole = file_of(visit) if visit.place == "file" else None
    if whole is None:
        return None
    part = FileSlice(whole.path, 0, int(whole.length * share))
    return Reply(200, part, "video/mp4", (("ETag", f'"{part.length:x}"'),))


def html_as_mp4(visit: Visit) -> Reply | None:
    """Send a page under a film's content type."""
    return _instead(visit, DENIED)


def png_as_mp4(visit: Visit) -> Reply | None:
    """Send a picture under a film's content type."""
    return _instead(visit, PNG)


def redirect_file(visit: Visit) -> Reply | None:
    """Lead to a file on the visitor's own disk."""
    return redirect("file:///etc/hostname") if visit.place == "file" else None


def redirect_inner(visit: Visit) -> Reply | None:
    """Lead to the address at which clouds tell their secrets."""
    if visit.place != "file":
        return None
    return redirect("http://169.254.169.254/latest/meta-data/")


def redirect_port(visit: Visit, *, port: int) -> Reply | None:
    """Lead to another service on the visitor's machine; port 0 is the one beside ours."""
    if visit.place != "file":
        return None
    own = urlsplit(visit.origin).port or 80
    return redirect(f"http://127.0.0.1:{port or own ^ 1}{visit.path}")


def expired_url(times: int) -> Fault:
    """Sign files for the past, the first so many times that a video's page is asked for."""
    n_asked: Counter[str] = Counter()
    lock = threading.Lock()

    def answer(visit: Visit) -> Reply | None:
        if visit.place != "video" or visit.video is None:
            return None
        with lock:
            n_asked[visit.video.tiktok_id] += 1
            if n_asked[visit.video.tiktok_id] > times:
                return None
        usual = visit.usual()
        past = re.sub(rb"\bexpire=[0-9]+", b"expire=%d" % LONG_AGO_S, body_of(usual))
        return Reply(usual.status, past, usual.content_type, usual.headers)

    return answer


def _instead(visit: Visit, content: bytes) -> Reply | None:
    if visit.place == "video":
        return announce(visit, lambda _: len(content))
    if visit.place != "file" or file_of(visit) is None:
        return None
    return Reply(200, content, "video/mp4", (("ETag", f'"{len(content):x}"'),))


def _chunk(name: bytes, content: bytes) -> bytes:
    checksum = zlib.crc32(name + content)
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", checksum)


def _grey_png(side_px: int) -> bytes:
    rows = (b"\0" + b"\x80" * side_px) * side_px
    header = struct.pack(">IIBBBBB", side_px, side_px, 8, 0, 0, 0, 0)
    chunks = _chunk(b"IHDR", header) + _chunk(b"IDAT", zlib.compress(rows)) + _chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunks


PNG = _grey_png(64)
