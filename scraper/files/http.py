"""An HTTP client bounded by the wall clock, and how long to stay away from who refuses us."""

import logging
import random
import re
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import httpx

log = logging.getLogger(__name__)

FIRST_PAUSE_S = 15 * 60.0
MAX_PAUSE_S = 24 * 3600.0
# Jitter alone could make a pause of nothing.
MIN_PAUSE_S = 60.0
# More than this is no request but a mistake, or a way to be rid of us for good.
MAX_RETRY_AFTER_S = 7 * 24 * 3600.0
CONNECT_S = 10.0
READ_S = 20.0
# What a connection gives to its watcher when it is there, and when it has become a secret one;
# before that stands whether it is one of ours or one through a proxy.
CONNECTED = (".connect_tcp.complete", ".start_tls.complete")


class PeerRefused(Exception):
    """Name the address that a host's name has led to."""


def parse_retry_after(text: str, now: datetime) -> float | None:
    """Read a Retry-After header, seconds or a date; None where it is neither."""
    plain = text.strip()
    if re.fullmatch(r"[0-9]{1,10}", plain):
        return min(float(plain), MAX_RETRY_AFTER_S)
    try:
        until = parsedate_to_datetime(plain)
    except (ValueError, TypeError, OverflowError):
        return None
    # A date without a zone is the standard's, which is Greenwich.
    until = until if until.tzinfo is not None else until.replace(tzinfo=UTC)
    return min(max((until - now).total_seconds(), 0.0), MAX_RETRY_AFTER_S)


def pause_s(
    n_before: int,
    retry_after_s: float | None,
    rng: random.Random,
    first_s: float = FIRST_PAUSE_S,
    max_s: float = MAX_PAUSE_S,
) -> float:
    """Say for how long to stay away: twice as long each time, with full jitter.

    n_before: the refusals in a row so far. A wish of the site's that is longer is granted.
    """
    most_s = min(first_s * 2.0 ** min(n_before, 20), max_s)
    return max(rng.uniform(0.0, most_s), MIN_PAUSE_S, retry_after_s or 0.0)


@contextmanager
def open_client(
    limit_s: float,
    *,
    headers: Mapping[str, str],
    is_allowed_peer: Callable[[str], bool] = lambda _: True,
    proxy: str = "",
) -> Iterator[httpx.Client]:
    """Open a client whose connections are cut after `limit_s`, and lead only where they may.

    A timeout of the library's counts from byte to byte: at a byte a second, a reply's header alone
    would take a day. A connection that is cut raises httpx.TransportError where it is read; one to
    an address that is not allowed raises PeerRefused before anything is sent. Through a proxy
    every connection leads there, and where it goes on to is the proxy's business.
    """
    cutter = _Cutter((lambda _: True) if proxy else is_allowed_peer)
    timer = threading.Timer(limit_s, cutter.cut)
    timer.daemon = True
    with httpx.Client(
        # No proxy and no password from the environment: only what is configured here.
        trust_env=False,
        proxy=proxy or None,
        headers=dict(headers),
        timeout=httpx.Timeout(min(READ_S, limit_s), connect=min(CONNECT_S, limit_s)),
        event_hooks={"request": [cutter.watch]},
    ) as client:
        timer.start()
        try:
            yield client
        finally:
            timer.cancel()
            timer.join()


class _Cutter:
    """Knows every connection of a client, so that it can be ended from another thread."""

    def __init__(self, is_allowed_peer: Callable[[str], bool]) -> None:
        self._is_allowed_peer = is_allowed_peer
        self._sockets: list[socket.socket] = []
        self._lock = threading.Lock()
        self._is_over = False

    def watch(self, request: httpx.Request) -> None:
        request.extensions = {**request.extensions, "trace": self._note}

    def cut(self) -> None:
        with self._lock:
            self._is_over = True
            for connection in self._sockets:
                with suppress(OSError):  # closed by the other side already
                    connection.shutdown(socket.SHUT_RDWR)
        log.debug("time is over: %d connections cut", len(self._sockets))

    def _note(self, event: str, facts: Mapping[str, Any]) -> None:
        if not event.endswith(CONNECTED):
            return
        stream = facts["return_value"]
        address = str(stream.get_extra_info("server_addr")[0])
        if not self._is_allowed_peer(address):
            stream.close()
            raise PeerRefused(f"the host is at {address}, where the site cannot be")
        found = stream.get_extra_info("socket")
        with self._lock:
            self._sockets.append(found)
            if self._is_over:
                with suppress(OSError):
                    found.shutdown(socket.SHUT_RDWR)
