"""Forwarding proxies on this machine, one for HTTP and one for SOCKS5, that note what they pass."""

import base64
import socket
import socketserver
import threading
from contextlib import contextmanager


def _pump(source, target):
    try:
        while block := source.recv(65_536):
            target.sendall(block)
        target.shutdown(socket.SHUT_WR)
    except OSError:
        pass  # one of the two has left


def _join(one, other):
    back = threading.Thread(target=_pump, args=(other, one), daemon=True)
    back.start()
    _pump(one, other)
    back.join()


class _Http(socketserver.StreamRequestHandler):
    """Passes plain requests on, one for each connection."""

    def handle(self):
        first = self.rfile.readline().decode()
        head, said = [], ""
        while (line := self.rfile.readline().decode().strip()) != "":
            name, _, value = line.partition(": ")
            if name.lower() == "proxy-authorization":
                said = value
            elif name.lower() != "connection":
                head.append(line)
        if not first:
            return
        method, url, _ = first.split(" ")
        self.server.credentials.append(base64.b64decode(said.partition(" ")[2]).decode())
        host, _, path = url.removeprefix("http://").partition("/")
        self.server.passed.append(url)
        lines = [f"{method} /{path} HTTP/1.1", *head, "Connection: close", "", ""]
        name, _, port = host.partition(":")
        with socket.create_connection((name, int(port))) as site:
            site.sendall("\r\n".join(lines).encode())
            _pump(site, self.connection)


class _Socks(socketserver.StreamRequestHandler):
    """Passes connections on to an IPv4 address or a name."""

    def handle(self):
        _version, n_ways = self.rfile.read(2)
        self.rfile.read(n_ways)
        self.wfile.write(b"\x05\x00")
        kind = self.rfile.read(4)[3]
        if kind == 1:
            host = socket.inet_ntoa(self.rfile.read(4))
        else:
            host = self.rfile.read(self.rfile.read(1)[0]).decode()
        port = int.from_bytes(self.rfile.read(2), "big")
        self.server.passed.append(f"{host}:{port}")
        with socket.create_connection((host, port)) as site:
            self.wfile.write(b"\x05\x00\x00\x01" + bytes(6))
            _join(self.connection, site)


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    block_on_close = False
    allow_reuse_address = True

    def handle_error(self, request, client_address):
        pass  # a visitor who leaves


@contextmanager
def proxy(scheme="http"):
    """Run one; it has `url`, `passed` (addresses) and `credentials`."""
    with _Server(("127.0.0.1", 0), _Socks if scheme == "socks5" else _Http) as server:
        server.passed, server.credentials = [], []
        server.url = f"{scheme}://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join()
