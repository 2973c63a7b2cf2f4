import random
import socket
import threading
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scraper.files.http import (
    FIRST_PAUSE_S,
    MAX_PAUSE_S,
    MAX_RETRY_AFTER_S,
    MIN_PAUSE_S,
    PeerRefused,
    open_client,
    parse_retry_after,
    pause_s,
)
from tests.programs import HANG_S
from tests.scraper.proxies import proxy

NOW = datetime(2026, 11, 23, 10, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "wish_s"),
    [
        ("0", 0.0),
        (" 120 ", 120.0),
        ("Mon, 23 Nov 2026 10:01:00 GMT", 60.0),
        ("Mon, 23 Nov 2026 10:01:00 -0000", 60.0),
        ("Mon, 23 Nov 2026 12:01:00 +0200", 60.0),
        ("Mon, 23 Nov 2026 09:00:00 GMT", 0.0),
        ("9999999999", MAX_RETRY_AFTER_S),
        ("Fri, 23 Nov 2096 10:01:00 GMT", MAX_RETRY_AFTER_S),
    ],
)
def test_seconds_and_dates_are_read(text, wish_s):
    assert parse_retry_after(text, NOW) == wish_s


@pytest.mark.parametrize("text", ["", "soon", "-5", "1.5", "٣", "99999999999999999999", "Mon, 99"])
def test_what_is_neither_is_no_wish(text):
    assert parse_retry_after(text, NOW) is None


@given(st.text(max_size=60))
def test_whatever_a_header_holds_it_is_a_time_or_nothing(text):
    wish_s = parse_retry_after(text, NOW)
    assert wish_s is None or 0.0 <= wish_s <= MAX_RETRY_AFTER_S


@pytest.mark.parametrize("n_before", [0, 1, 3, 10, 10_000])
def test_pauses_grow_and_have_an_end(n_before):
    rng = random.Random(1)
    drawn = [pause_s(n_before, None, rng) for _ in range(500)]
    most_s = min(FIRST_PAUSE_S * 2.0 ** min(n_before, 50), MAX_PAUSE_S)
    assert min(drawn) >= MIN_PAUSE_S
    assert 0.9 * most_s < max(drawn) <= most_s


def test_what_the_site_asks_for_is_the_least():
    assert pause_s(0, 7_200.0, random.Random(1)) == 7_200.0
    assert timedelta(seconds=MAX_RETRY_AFTER_S) == timedelta(days=7)


class Trickle:
    """A server that sends what it is given, and then a byte now and then, for ever."""

    def __init__(self):
        self.head = b""
        self.tail = b"x"
        self.seen = b""
        self.is_over = threading.Event()
        self._server = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._server.getsockname()[1]}/"
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self):
        while not self.is_over.is_set():
            try:
                connection, _ = self._server.accept()
            except OSError:
                return
            with connection:
                try:
                    self.seen += connection.recv(65_536)
                    connection.sendall(self.head)
                    while not self.is_over.wait(0.02):
                        connection.sendall(self.tail)
                except OSError:
                    continue

    def close(self):
        if self.is_over.is_set():
            return
        self.is_over.set()
        self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        self._thread.join()


@pytest.fixture
def trickle():
    server = Trickle()
    yield server
    server.close()


@pytest.mark.parametrize(
    ("head", "tail"),
    [
        (b"HTTP/1.1 200 OK\r\nX-A: ", b"a"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n", b"a"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\na\r\n"),
    ],
)
def test_a_reply_that_trickles_is_cut_by_the_clock(trickle, head, tail):
    trickle.head, trickle.tail = head, tail
    # Which would go on for hours; the run of the tests is ended when one takes an hour.
    with open_client(0.3, headers={}) as client, pytest.raises(httpx.TransportError):
        client.get(trickle.url)


def test_nothing_is_connected_after_the_time_is_over(trickle):
    with open_client(0.05, headers={}) as client:
        threading.Event().wait(0.1)
        with pytest.raises(httpx.TransportError):
            client.get(trickle.url)


def test_nothing_is_said_to_an_address_that_is_not_allowed(trickle):
    with (
        open_client(5, headers={"Cookie": "a=b"}, is_allowed_peer=lambda _: False) as client,
        pytest.raises(PeerRefused, match=r"127\.0\.0\.1"),
    ):
        client.get(trickle.url)
    trickle.close()
    assert trickle.seen == b""


def test_no_proxy_of_the_environment_is_used(trickle, monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    trickle.head, trickle.tail = b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n", b"x"
    with open_client(5, headers={"User-Agent": "a"}) as client:
        assert client.get(trickle.url).text == "x"
    assert b"User-Agent: a\r\n" in trickle.seen


@pytest.mark.parametrize("scheme", ["http", "socks5"])
def test_a_client_asks_through_its_proxy_whatever_the_environment_says(scheme, monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    with silent_site() as site, proxy(scheme) as through:
        where = f"127.0.0.1:{site}"
        # Where a proxy leads on is not to be seen: only its own address is.
        with open_client(
            HANG_S, headers={}, is_allowed_peer=lambda _: False, proxy=through.url
        ) as client:
            assert client.get(f"http://{where}/").status_code == 204
    assert [where in passed for passed in through.passed] == [True]


@pytest.mark.parametrize("scheme", ["http", "socks5"])
def test_the_clock_cuts_what_comes_through_a_proxy(scheme):
    with (
        silent_site(is_stuck=True) as site,
        proxy(scheme) as through,
        open_client(1.0, headers={}, proxy=through.url) as client,
        pytest.raises(httpx.TransportError),
    ):
        client.get(f"http://127.0.0.1:{site}/")


@contextmanager
def silent_site(*, is_stuck=False):
    """A site that answers each request with nothing, or not at all; gives its port."""
    over = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            if is_stuck:
                self.wfile.write(b"HTTP/1.1 200 OK\r\nX: ")
                while not over.wait(0.1):
                    self.wfile.write(b"x")  # a byte now and then keeps a reader waiting
                return
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_args):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        server.block_on_close = False
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        yield server.server_address[1]
        over.set()
        server.shutdown()
        thread.join()
