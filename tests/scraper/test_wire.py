import socket
import threading

import httpx
import pytest

from scraper.wire import PeerRefused, open_client


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
