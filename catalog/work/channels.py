"""Where alerts go: any service that Apprise knows, and a dead man's switch. No secret is told.

A channel is called by its place in `alerts.urls` and its scheme, "2:slack": in a webhook's address
any part may be the secret. For the same reason a failure is told in words of our own, by what
the library said, and the libraries' log lines stay away.
"""

import logging
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pydantic import SecretStr

from catalog.logs import muted

if TYPE_CHECKING:
    import apprise

# Of the ping, in each of its steps; a service's own stands in its address (?cto=, ?rto=).
TIMEOUT_S = 10.0
# The third waits longer. A service that is down for longer is tried again at the next check.
N_TRIES, GROWTH = 3, 4.0
RETRY_AFTER_S = 2.0
TALKATIVE = ("apprise", "httpcore", "httpx", "requests", "urllib3")
UNKNOWN = "no service of that scheme, or not a whole address for it"
REASONS = (
    (r"Name or service not known|[Nn]ame resolution|nodename nor servname", "no such host"),
    (r"[Cc]onnection refused", "connection refused"),
    (r"CERTIFICATE_VERIFY_FAILED|certificate verify failed", "its certificate is not trusted"),
    (r"timed out|[Tt]imeout", "timed out"),
    (r"[Nn]o route to host|[Nn]etwork is unreachable", "no way there"),
)
# As Apprise writes the status of HTTP, and smtplib that of SMTP.
HTTP_STATUS, SMTP_STATUS = re.compile(r"\berror=(\d{3})\b"), re.compile(r"\((\d{3}), b['\"]")


@dataclass(frozen=True)
class Channel:
    """One of `alerts.urls`; its name may be written anywhere."""

    name: str
    url: SecretStr


@dataclass(frozen=True)
class Message:
    """What is sent; is_bad: it tells of trouble."""

    title: str
    text: str
    is_bad: bool = True


@dataclass(frozen=True)
class Delivery:
    """What became of one message in one channel; `reason` says why it was not taken."""

    channel: str
    reason: str | None
    n_tries: int
    seconds: float


def channels_of(urls: Sequence[SecretStr]) -> list[Channel]:
    """Name the channels of the setting."""
    return [Channel(f"{n}:{_scheme(url.get_secret_value())}", url) for n, url in enumerate(urls, 1)]


def _scheme(url: str) -> str:
    found = re.match(r"([a-z][a-z0-9]{1,19})://", url.strip(), re.IGNORECASE)
    return found[1].lower() if found else "unknown"


def send(channel: Channel, message: Message, retry_after_s: float = RETRY_AFTER_S) -> Delivery:
    """Send a message, in three tries at most. Never inside a transaction."""
    import apprise  # noqa: PLC0415 (0.3 s, for who is told something)

    with muted(*TALKATIVE):
        # It tells why something was not taken at that level only, to us too.
        logging.getLogger("apprise").setLevel(logging.DEBUG)
        # What leads elsewhere has not taken the message: the answer there would pass for its own.
        asset = apprise.AppriseAsset(
            app_id="viewcast",
            app_desc="viewcast",
            http_redirects=False,
            storage_mode=apprise.PersistentStoreMode.MEMORY,
            image_url_mask="",  # nor are pictures of theirs asked for
            # Without one it sends in this thread: its pool of threads would keep a program that was
            # told to stop until the service answers. What waits is ended by the socket's own limit.
            service_timeout=0,
        )
        service = apprise.Apprise(asset=asset)
        if not service.add(channel.url.get_secret_value()):
            return Delivery(channel.name, UNKNOWN, 0, 0.0)
        return _tried(channel.name, lambda: _notify(service, message), retry_after_s)


def ping(url: str, retry_after_s: float = RETRY_AFTER_S) -> Delivery:
    """Ask for an address, so that whoever watches it knows that we live."""
    import httpx  # noqa: PLC0415 (as above)

    def once() -> str | None:
        try:
            answer = httpx.get(url, timeout=TIMEOUT_S, follow_redirects=False)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            return _reason(f"{type(error).__name__} {error}")
        return None if answer.is_success else f"HTTP {answer.status_code}"

    with muted(*TALKATIVE):
        return _tried("ping", once, retry_after_s)


def _tried(name: str, once: Callable[[], str | None], retry_after_s: float) -> Delivery:
    began = time.monotonic()
    reason, n_tries = once(), 1
    while reason is not None and n_tries < N_TRIES:
        time.sleep(retry_after_s * GROWTH ** (n_tries - 1))
        reason = once()
        n_tries += 1
    return Delivery(name, reason, n_tries, round(time.monotonic() - began, 2))


def _notify(service: "apprise.Apprise", message: Message) -> str | None:
    """Send once; return why it was not taken."""
    import apprise  # noqa: PLC0415 (as above)

    result: Any = service.notify(
        body=message.text,
        title=message.title,
        notify_type=apprise.NotifyType.WARNING if message.is_bad else apprise.NotifyType.INFO,
        body_format=apprise.NotifyFormat.TEXT,
        log_level=logging.DEBUG,
    )
    if result:
        return None
    return _reason("\n".join(entry.message for entry in result.logs()))


def _reason(said: str) -> str:
    """Say why by what a library said of it, which may hold the address, in words of our own."""
    if status := HTTP_STATUS.search(said):
        return f"HTTP {status[1]}"
    if status := SMTP_STATUS.search(said):
        return f"SMTP {status[1]}"
    return next((words for pattern, words in REASONS if re.search(pattern, said)), "not taken")
