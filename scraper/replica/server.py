"""The replica behind a loopback socket, with a log of what it was asked."""

import logging
import shutil
import socket
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qsl, urlsplit

from scraper.replica.clips import ReplicaError
from scraper.replica.content import ReplicaConfig, build_content
from scraper.replica.messages import Endless, Fault, FileSlice, Reply, Request
from scraper.replica.site import ReplicaSite

log = logging.getLogger(__name__)

MAX_LOGGED = 100_000
IDLE_S = 30


@dataclass(frozen=True)
class LoggedRequest:
    """`at_s` is the wall clock on arrival; `path` is without the query, `target` with it."""

    method: str
    path: str
    target: str
    at_s: float
    status: int
    user_agent: str


class Replica:
    """The site on 127.0.0.1, from construction until `close`; port 0 takes a free one."""

    def __init__(
        self,
        config: ReplicaConfig,
        media_folder: Path,
        port: int = 0,
        *,
        faults: Mapping[str, Fault | str] | None = None,
        clock: Callable[[], float] = time.time,
        days: Callable[[], float] = lambda: 0.0,
    ) -> None:
        self.content = build_content(config)
        self.site = ReplicaSite(self.content, media_folder, faults=faults, clock=clock, days=days)
        # The oldest are dropped in a server that runs for weeks.
        self._log: deque[LoggedRequest] = deque(maxlen=MAX_LOGGED)
        self._server = _Server(("127.0.0.1", port), self.site, self._log)
        self.port = int(self._server.server_address[1])
        self.url = f"http://127.0.0.1:{self.port}"
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.05,), name="replica", daemon=True
        )
        self._thread.start()
        log.info("replica with %d videos at %s", len(self.content.videos), self.url)

    @property
    def requests(self) -> list[LoggedRequest]:
        """What was asked so far, oldest first."""
        # A copy in one step, since a visitor may be asking just now.
        return list(self._log.copy())

    def close(self) -> None:
        """Stop listening and cut connections that are still open; may be called twice."""
        self._server.closing.set()
        if self._thread.is_alive():
            self._server.shutdown()
            self._thread.join()
        self._server.server_close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def __init__(
        self, address: tuple[str, int], site: ReplicaSite, requests: "deque[LoggedRequest]"
    ) -> None:
        self.site = site
        self.requests = requests
        # Whoever waits before or within a reply waits for this.
        self.closing = threading.Event()
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        super().__init__(address, _Handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        with self._lock:
            self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        with self._lock:
            self._open.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002 – inherited
        error = sys.exception()
        if isinstance(error, (ConnectionError, TimeoutError)):
            # A visitor who leaves in the middle is no event; the default prints it.
            log.debug("%s left: %s", client_address, error)
        else:
            log.error("no answer for %s", client_address, exc_info=error)

    def server_close(self) -> None:
        with self._lock:
            waiting = list(self._open)
        for connection in waiting:
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                log.debug("a connection was gone already")
        super().server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version = "nginx"
    sys_version = ""
    timeout = IDLE_S
    disable_nagle_algorithm = True
    server: _Server

    def do_GET(self) -> None:
        self._serve()

    def do_HEAD(self) -> None:
        self._serve()

    def do_POST(self) -> None:
        self.close_connection = True
        self._serve()

    def log_message(self, format: str, *args: Any) -> None:
        log.debug(format, *args)

    def _serve(self) -> None:
        at_s = time.time()
        parts = urlsplit(self.path)
        headers = {name.lower(): value for name, value in self.headers.items()}
        request = Request(
            method=self.command,
            path=parts.path,
            query=dict(parse_qsl(parts.query)),
            headers=headers,
            cookies=_read_cookies(headers.get("cookie", "")),
            origin=f"http://{headers.get('host', '127.0.0.1')}",
        )
        try:
            reply = self.server.site.answer(request)
        except ReplicaError as error:
            log.error("%s: %s", parts.path, error)
            reply = Reply(500, b"Internal Server Error\n", "text/plain")
        self.server.requests.append(
            LoggedRequest(
                self.command,
                parts.path,
                self.path,
                at_s,
                reply.status,
                headers.get("user-agent", ""),
            )
        )
        self._send(reply)

    def _send(self, reply: Reply) -> None:
        if reply.delay_s and self.server.closing.wait(reply.delay_s):
            self.close_connection = True
            return
        body = reply.body
        self.send_response(reply.status)
        self.send_header("Content-Type", reply.content_type)
        if isinstance(body, Endless):
            self.send_header("Transfer-Encoding", "chunked")
        else:
            length = body.length if isinstance(body, FileSlice) else len(body)
            self.send_header("Content-Length", str(length))
        for name, value in reply.headers:
            self.send_header(name, value)
        self.end_headers()
        if self.command == "HEAD" or reply.status == 304:
            return
        if isinstance(body, FileSlice):
            self._send_file(body)
        elif isinstance(body, Endless):
            self._send_endlessly(body)
        else:
            self.wfile.write(body)

    def _send_endlessly(self, body: Endless) -> None:
        block = body.head
        while True:
            if block:
                self.wfile.write(b"%X\r\n%b\r\n" % (len(block), block))
            # A visitor who leaves ends it by an error on writing.
            if self.server.closing.wait(len(block) / body.bytes_per_s):
                self.close_connection = True
                return
            block = body.block

    def _send_file(self, part: FileSlice) -> None:
        with part.path.open("rb") as file:
            if part.start == 0 and part.length == part.path.stat().st_size:
                shutil.copyfileobj(file, self.wfile)
                return
            file.seek(part.start)
            left = part.length
            while left and (block := file.read(min(left, 1 << 16))):
                self.wfile.write(block)
                left -= len(block)


def _read_cookies(header: str) -> dict[str, str]:
    pairs = (item.strip().partition("=") for item in header.split(";"))
    return {name: value for name, _, value in pairs if name}
