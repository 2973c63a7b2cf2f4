"""Whom alerts reach in tests: a web hook and a mail server of this machine, both real ones."""

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session


@dataclass
class WebHook:
    """What was asked of it; it answers with the statuses in `answers`, then with 200."""

    port: int = 0
    asked: list[tuple[str, str, Any]] = field(default_factory=list)
    answers: list[int] = field(default_factory=list)

    @property
    def titles(self) -> list[str]:
        """The titles of the messages, in the order in which they came."""
        return [body["title"] for _method, _path, body in self.asked if isinstance(body, dict)]

    @property
    def paths(self) -> list[str]:
        """The paths asked for."""
        return [path for _method, path, _body in self.asked]


@contextmanager
def web_hook() -> Iterator[WebHook]:
    """Listen on a port of this machine until the block ends."""
    hook = WebHook()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            text = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
            is_json = "json" in self.headers.get("Content-Type", "")
            hook.asked.append((self.command, self.path, json.loads(text) if is_json else text))
            status = hook.answers.pop(0) if hook.answers else 200
            self.send_response(status)
            if status in (301, 302, 307):
                self.send_header("Location", f"http://127.0.0.1:{hook.port}/elsewhere")
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"ok")

        do_GET = do_POST  # noqa: N815 (the library's name)

        def log_message(self, *_arguments: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    hook.port = server.server_port
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield hook
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def free_port() -> int:
    """A port of this machine that nobody listens at."""
    with socket.socket() as unbound:
        unbound.bind(("127.0.0.1", 0))
        return int(unbound.getsockname()[1])


@dataclass
class MailBox:
    """The mails that came, as (recipients, subject, text)."""

    port: int = 0
    password: str = ""
    mails: list[tuple[list[str], str, str]] = field(default_factory=list)

    async def handle_DATA(  # noqa: N802 (the library's name)
        self, _server: SMTP, _session: Session, envelope: Envelope
    ) -> str:
        """Keep a mail."""
        mail = message_from_bytes(envelope.original_content or b"", policy=policy.default)
        body = mail.get_body(("plain", "html"))
        text = body.get_content() if body is not None else ""
        self.mails.append((envelope.rcpt_tos, str(mail["Subject"]), text))
        return "250 kept"


@contextmanager
def mail_server(password: str = "") -> Iterator[MailBox]:
    """Take mails on a port of this machine; with a password, only from who knows it."""
    box = MailBox(password=password)

    def knows(_server: SMTP, _session: Session, _envelope: Envelope, _kind: str, given: Any) -> Any:
        is_right = isinstance(given, LoginPassword) and given.password.decode() == password
        return AuthResult(success=is_right, handled=False)

    needs = {"authenticator": knows, "auth_require_tls": False} if password else {}
    box.port = free_port()  # the controller calls the number it was given: 0 will not do
    controller = Controller(box, hostname="127.0.0.1", port=box.port, **needs)
    controller.start()
    try:
        yield box
    finally:
        controller.stop()
