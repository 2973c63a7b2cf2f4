"""A judge for the tests: a real local server that answers like a chat endpoint, or a program."""

import json
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

#: Of what the server replies: a status, the header's lines, and the body.
Reply = tuple[int, dict[str, str], bytes]


def chat(content: str) -> Reply:
    """The reply of a chat endpoint that says this."""
    choice = {"index": 0, "message": {"role": "assistant", "content": content}}
    return 200, {}, json.dumps({"id": "1", "choices": [choice]}).encode()


def said_of(post: dict) -> int:
    """What the tests' judge says of a post: cats are watched."""
    caption = post.get("caption", "")
    return 90_000 + 10 * len(caption) if "cat" in caption else 900


class ChatServer:
    """url: its base. requests: (path, header, document) of each. reply: post to a Reply."""

    def __init__(self, url: str, reply: Callable[[dict], Reply]) -> None:
        self.url = url
        self.reply = reply
        self.requests: list[tuple[str, dict[str, str], dict]] = []

    def posts(self) -> list[dict]:
        """The posts that were asked of, as the judge reads them."""
        return [json.loads(one["messages"][1]["content"]) for _, _, one in self.requests]


@contextmanager
def chat_server() -> Iterator[ChatServer]:
    """A server on a free port of this machine, for as long as the block runs."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            length = int(self.headers["Content-Length"])
            document = json.loads(self.rfile.read(length))
            state.requests.append((self.path, dict(self.headers), document))
            status, header, body = state.reply(json.loads(document["messages"][1]["content"]))
            self.send_response(status)
            for name, value in header.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            try:
                self.wfile.write(body)
            except OSError:
                self.close_connection = True  # the other side has heard enough

        def log_message(self, *_arguments: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    state = ChatServer(
        f"http://127.0.0.1:{server.server_port}/v1",
        lambda post: chat(json.dumps({"views": said_of(post)})),
    )
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield state
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def program(folder: Path, body: str) -> tuple[str, ...]:
    """A command that runs these lines of Python with the question as `asked`."""
    file = folder / "judge.py"
    file.write_text(f"import sys\nasked = sys.stdin.read()\n{body}\n", encoding="utf-8")
    return (sys.executable, str(file))
