"""Assembles what an HTTP listener serves: the service's application, its contract's REST API, mounted contracts."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import Executor
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mesh.calling.mount import mount
from mesh.contract import Handlers, Response, ServicerBackend, Transcoder, merge_documents, send_answer
from mesh.contract.rest.documentation import PAGE, PAGES, document_response, page
from mesh.runtime.generation.lifespan import Lifespan
from mesh.service import current_service
from mesh.serving.http.recording import recorded_app
from mesh.serving.http.root_path import RootPath
from mesh.topology.model import Http

#: Headers with which an application may answer with a part, or with something compressed.
_CONDITIONS = frozenset({b"accept-encoding", b"if-none-match", b"if-modified-since", b"range"})


#: Takes an application, and returns one that passes requests on to it.
Wrapper = Callable[[ASGIApp], ASGIApp]


def assemble(http: Http, own: ASGIApp | None, lifespan: Lifespan | None, handlers: Handlers, pool: Executor) -> ASGIApp:
    """Return what a listener serves: the service's own application inside its wrappers.

    A service without an application serves its contract as REST, with its own servicers.
    """
    app = own_rest(http, handlers, pool) if own is None else own
    for wrap in reversed(wrappers(http, own, lifespan)):
        app = wrap(app)
    return app


def wrappers(http: Http, own: ASGIApp | None, lifespan: Lifespan | None) -> list[Wrapper]:
    """List every wrapper around a service's application, from the outside in.

    Outside them is the listener's AppDispatcher, which outlives the generation. It runs the layers that are around each
    call (mesh/layers.py), refuses cross-site requests (CrossSiteGuard), records the status, and answers errors.
    """
    service = current_service()
    found: list[Wrapper] = [lambda app: recorded_app(app, service)]
    if http.contracts:
        found.append(lambda app: Mounted(mount(http, service.directory), app))
    if own is None:
        found.append(HealthPath)
    if lifespan is not None:
        found.append(lifespan.around)
    if http.root_path and own is not None:
        found.append(lambda app: RootPath(app, http.root_path))
    return found


def own_rest(http: Http, handlers: Handlers, pool: Executor) -> ASGIApp:
    """Return the REST API of the service's own servicers."""
    service = current_service()
    descriptors = service.directory.described(service.name)
    backend = ServicerBackend(handlers.by_path, pool)
    return Transcoder(handlers.contract(), backend, unknown_fields=http.unknown_fields, descriptors=descriptors)


class HealthPath:
    """Answers `GET /health` and passes on everything else."""

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
    """Passes paths under its prefix, or without one those that match its rules, to the mount; the others to the app.

    `/openapi.json` merges the app's document and those of the mounted contracts; if the app has no `/docs`,
    the page for it is there.
    """

    def __init__(self, mounted: Transcoder, app: ASGIApp) -> None:
        self._mounted = mounted
        self._app = app
        self._prefix = f"{mounted.prefix}/".encode() if mounted.prefix else b""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"] in PAGES and scope["method"] in ("GET", "HEAD"):
            response = await self._page(scope, receive)
            await send_answer(response, send, with_body=scope["method"] == "GET")
        else:
            await (self._mounted if self._is_mounts(scope) else self._app)(scope, receive, send)

    def _is_mounts(self, scope: Scope) -> bool:
        if scope["type"] != "http":
            return False
        raw: bytes = scope["raw_path"]
        return raw.startswith(self._prefix) if self._prefix else self._mounted.matches(scope)

    async def _page(self, scope: Scope, receive: Receive) -> Response:
        own = await _response_of(self._app, scope, receive)
        if scope["path"] == PAGE:
            return page() if own.status == 404 else own
        if own.status == 404:
            return document_response(merge_documents([self._mounted.document()]))
        document = _openapi_document(own)
        return own if document is None else document_response(merge_documents([document, self._mounted.document()]))


async def _response_of(app: ASGIApp, scope: Scope, receive: Receive) -> Response:
    """Return an application's whole response to an unconditional GET."""
    headers = [(name, value) for name, value in scope["headers"] if name not in _CONDITIONS]
    response = Response(404, [])

    async def note(message: Message) -> None:
        nonlocal response
        if message["type"] == "http.response.start":
            response = Response(message["status"], list(message.get("headers", ())))
        elif message["type"] == "http.response.body":
            response = response._replace(body=response.body + message.get("body", b""))

    await app({**scope, "method": "GET", "headers": headers}, receive, note)
    kept = [(name, value) for name, value in response.headers if name.lower() != b"content-length"]
    return response._replace(headers=kept)


def _openapi_document(response: Response) -> dict[str, Any] | None:
    """Return the OpenAPI document that a response holds, if it does."""
    if response.status != 200:
        return None
    try:
        document = json.loads(response.body)
    except ValueError:
        return None
    is_openapi = isinstance(document, dict) and str(document.get("openapi", "")).startswith("3.")
    return document if is_openapi and isinstance(document.get("paths"), dict) else None
