"""Every way in which the replica can be made to misbehave, by name."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial

from scraper.errors import UnknownFault
from scraper.replica import odd_pages, refusals
from scraper.replica.edits import Fault
from scraper.replica.messages import Reply

Number = int | float
FAULT = re.compile(r"(\w+)(?::(.*))?")
NUMBER = re.compile(r"[0-9]{1,9}(?:\.[0-9]{1,6})?")


@dataclass(frozen=True)
class FaultKind:
    """A fault and its numbers; in "name:30" the number is the first of `defaults`.

    `after` counts parts of a listing (scrolls, where a script is at fault) that go well before: a
    listing of one part never gets further, unless `after` is 0.
    """

    make: Callable[..., Fault]
    summary: str
    defaults: Mapping[str, Number] = field(default_factory=dict)


def make_fault(text: str) -> Fault:
    """Make a fault from "name", "name:30" or "name:30,after=2". Raises UnknownFault."""
    match = FAULT.fullmatch(text.strip())
    kind = FAULTS.get(match[1]) if match else None
    if match is None or kind is None:
        known = ", ".join(sorted(FAULTS))
        raise UnknownFault(f"there is no fault {text[:80]!r}; there are {known}")
    return kind.make(**_read_numbers(match[1], kind, match[2] or ""))


def parse_fault(text: str) -> tuple[str, Fault]:
    """Read "hashtag=name:30". Raises UnknownFault."""
    hashtag, mark, fault = text.partition("=")
    if not mark or not hashtag.strip("# "):
        raise UnknownFault(f"{text[:80]!r} is no fault of a hashtag: expected 'sports=rate_limit'")
    return hashtag.strip("# ").lower(), make_fault(fault)


def _read_numbers(name: str, kind: FaultKind, text: str) -> dict[str, Number]:
    numbers = dict(kind.defaults)
    for i, word in enumerate(text.split(",") if text else ()):
        key, mark, value = word.strip().rpartition("=")
        key = key if mark or i else next(iter(kind.defaults), "")
        if key not in numbers or not NUMBER.fullmatch(value):
            allowed = ", ".join(f"{k}={v}" for k, v in kind.defaults.items()) or "no number"
            raise UnknownFault(f"{word[:40]!r} is nothing that {name} takes: it takes {allowed}")
        numbers[key] = type(numbers[key])(float(value))
    return numbers


def _plain(function: Callable[..., Reply | None], **defaults: Number) -> FaultKind:
    """A fault that remembers nothing between two visits."""
    summary = (function.__doc__ or "").strip()
    return FaultKind(lambda **numbers: partial(function, **numbers), summary, defaults)


FAULTS: Mapping[str, FaultKind] = {
    "empty_body": _plain(refusals.empty_body, after=1),
    "verify_json": _plain(refusals.verify_json, after=1),
    "captcha": _plain(refusals.captcha, after=1),
    "login_wall": _plain(refusals.login_wall),
    "login_modal": _plain(refusals.login_modal, after=1, behind=1),
    "waf_wait": _plain(refusals.waf_wait),
    "no_such_hashtag": _plain(refusals.no_such_hashtag),
    "rate_limit": _plain(refusals.rate_limit, retry_after_s=1, after=1),
    "forbidden": _plain(refusals.forbidden, after=0),
    "server_error": _plain(refusals.server_error, after=0),
    "slow": _plain(refusals.slow, delay_s=0.3),
    "endless_body": _plain(refusals.endless_body, mb_per_s=2.0, after=1),
    "repeated_page": _plain(odd_pages.repeated_page, after=1),
    "endless_more": _plain(odd_pages.endless_more, after=1),
    "deep_json": _plain(odd_pages.deep_json, depth=100_000, after=1),
    "dom_only": _plain(odd_pages.dom_only),
    "hydration_only": _plain(odd_pages.hydration_only),
    "missing_keys": _plain(odd_pages.missing_keys),
    "string_numbers": _plain(odd_pages.string_numbers),
    "photo_post": _plain(odd_pages.photo_post),
    "ad": _plain(odd_pages.ad),
    "pinned": _plain(odd_pages.pinned),
    "live_room": _plain(odd_pages.live_room),
    "private": _plain(odd_pages.private),
    "removed": _plain(odd_pages.removed),
    "region_locked": _plain(odd_pages.region_locked),
    "huge_caption": _plain(odd_pages.huge_caption, n_chars=100_000),
    "path_id": _plain(odd_pages.path_id),
    "nul": _plain(odd_pages.nul),
    "lone_surrogate": _plain(odd_pages.lone_surrogate),
    "nan": _plain(odd_pages.nan, after=1),
    "huge_numbers": _plain(odd_pages.huge_numbers, n_digits=30),
    "script_caption": _plain(odd_pages.script_caption),
    "truncated_mp4": _plain(refusals.truncated_mp4, share=0.6),
    "html_as_mp4": _plain(refusals.html_as_mp4),
    "png_as_mp4": _plain(refusals.png_as_mp4),
    "redirect_file": _plain(refusals.redirect_file),
    "redirect_inner": _plain(refusals.redirect_inner),
    "redirect_port": _plain(refusals.redirect_port, port=0),
    "expired_url": FaultKind(
        refusals.expired_url,
        "Sign files for the past, the first so many times that a video's page is asked for.",
        {"times": 1},
    ),
    "infinite_js": _plain(odd_pages.infinite_js, after=1),
    "alert": _plain(odd_pages.alert, after=1),
    "beforeunload": _plain(odd_pages.beforeunload),
    "crash": _plain(odd_pages.crash, after=1),
}
