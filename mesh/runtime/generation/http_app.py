"""What an HTTP listener serves, put together: the service's own application, its contract's REST, mounted contracts."""

from __future__ import annotations

from concurrent.futures import Executor

from starlette.types import ASGIApp, Receive, Scope, Send

from mesh.calling.mount import mount
from mesh.contract import Handlers, ServicerBackend, Transcoder
from mesh.service import current_service
from mesh.topology.model import Http


def assemble(http: Http, own: ASGIApp | None, handlers: Handlers, pool: Executor) -> ASGIApp:
    """The application behind a listener's door.

    Without one of its own, a service's contract is served as REST by its own servicers, with `GET /health` beside it.
    """
    app: ASGIApp = own or Health(own_rest(http, handlers, pool))
    if http.contracts:
        app = Mounted(mount(http, current_service().directory), app)
    return app


def own_rest(http: Http, handlers: Handlers, pool: Executor) -> ASGIApp:
    """The REST API that the service's own servicers answer."""
    service = current_service()
    descriptors = service.directory.described(service.name)
    backend = ServicerBackend(handlers.by_path, pool)
    return Transcoder(handlers.contract(), backend, unknown_fields=http.unknown_fields, descriptors=descriptors)


class Health:
    """Answers `GET /health` and hands on everything else."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope.get("path") != "/health" or scope["method"] not in ("GET", "HEAD"):
            await self._app(scope, receive, send)
            return
        body = b'{"status":"SERVING"}'
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})


class Mounted:
    """Hands on to the mount what lies under its prefix or, where it has none, what its rules match; else to the app."""

    def __init__(self, mounted: Transcoder, app: ASGIApp) -> None:
        self._mounted = mounted
        self._app = app
        self._prefix = f"{mounted.prefix}/".encode() if mounted.prefix else b""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await (self._mounted if self._is_mounts(scope) else self._app)(scope, receive, send)

    def _is_mounts(self, scope: Scope) -> bool:
        if scope["type"] != "http":
            return False
        raw: bytes = scope["raw_path"]
        return raw.startswith(self._prefix) if self._prefix else self._mounted.matches(scope)
