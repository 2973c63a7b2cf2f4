"""What `viewcast serve` answers: the report as it lies there, and whether all is well."""

import json
from collections.abc import Callable, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import uvicorn
from sqlalchemy.exc import SQLAlchemyError
from starlette.applications import Starlette
from starlette.datastructures import MutableHeaders
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import FileResponse, PlainTextResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from catalog.errors import CatalogError
from catalog.schema.session import head, open_to_read
from catalog.web.pages import render, report_path
from catalog.work.daemon_status import daemon_status, status_rows

# A page of ours needs nothing from elsewhere and runs nothing; a browser is told so, too.
HEADERS = {
    "content-security-policy": (
        "default-src 'none'; style-src 'unsafe-inline'; img-src 'self' data:; "
        "frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cache-control": "no-store",
}
# A page elsewhere may not ask this server by a name of its own that leads here (DNS rebinding).
OWN_NAMES = ("127.0.0.1", "[::1]", "localhost")


def make_app(
    db_url: str, data_folder: Path, *, names: Sequence[str] = (), max_age: timedelta
) -> Starlette:
    """Return the application. names: host names that it answers to beside this machine's own."""

    def report(_request: Request) -> Response:
        path = report_path(data_folder)
        if not path.is_file():
            return PlainTextResponse("There is no report yet: viewcast report\n", 404)
        return FileResponse(path, media_type="text/html")

    def health(request: Request) -> Response:
        found = health_of(db_url, max_age)
        status = 200 if found["ok"] else 503
        if "text/html" in request.headers.get("accept", ""):
            columns, rows = status_rows(found)
            page = render("health.html", title="viewcast", found=found, columns=columns, rows=rows)
            return Response(page, status, media_type="text/html")
        return Response(json.dumps(found) + "\n", status, media_type="application/json")

    routes: list[BaseRoute] = [Route("/", report), Route("/health", health)]
    # The folder may come to be there later.
    stored = StaticFiles(directory=data_folder / "reports", check_dir=False)
    stored.config_checked = True  # or the first request for it fails, where it is not there
    routes.append(Mount("/reports", stored))
    middleware = [
        Middleware(_Headers),
        Middleware(TrustedHostMiddleware, allowed_hosts=[*OWN_NAMES, *names]),
    ]
    return Starlette(routes=routes, middleware=middleware)


def health_of(db_url: str, max_age: timedelta) -> dict[str, Any]:
    """Return `daemon_status`, with the schema; of a catalog that cannot be read only why."""
    try:
        catalog = open_to_read(db_url)
    except CatalogError as error:
        return _unwell(str(error))
    try:
        return {**daemon_status(catalog, max_age), "schema": head()}
    except SQLAlchemyError as error:
        return _unwell(str(getattr(error, "orig", None) or error))
    finally:
        catalog.close()


def _unwell(why: str) -> dict[str, Any]:
    return {"ok": False, "why": why.strip(), "running": None, "jobs": {}, "schema": None}


def make_server(
    app: ASGIApp, *, bind: str, port: int, on_start: Callable[[str], object]
) -> uvicorn.Server:
    """Return a server whose run() ends with SIGTERM or Ctrl-C. port: 0 takes a free one.

    on_start: is told the address once it answers.
    """
    config = uvicorn.Config(
        app,
        host=bind,
        port=port,
        log_config=None,
        server_header=False,
        timeout_graceful_shutdown=2,
    )
    return _Server(config, on_start)


class _Server(uvicorn.Server):
    """A server that says where it answers."""

    def __init__(self, config: uvicorn.Config, on_start: Callable[[str], object]) -> None:
        super().__init__(config)
        self.on_start = on_start

    async def startup(self, sockets: Any = None) -> None:
        await super().startup(sockets)
        if self.started:
            host, port, *_ = self.servers[0].sockets[0].getsockname()
            self.on_start(f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}")


class _Headers:
    """Adds HEADERS to every answer."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(HEADERS)
            await send(message)

        await self.app(scope, receive, send_with)
