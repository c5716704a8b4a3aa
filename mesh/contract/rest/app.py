"""A contract as an ASGI application.

Policy, the same for every rule. The path is matched raw (see router.py). A known path with another method is 405
with `Allow`; HEAD is GET without the body; OPTIONS is 204 with `Allow`. Any Content-Type is accepted: the rule defines
the body. An empty or blank body means `{}`. A body for a rule that takes none is ignored.
Content-Encoding may be gzip, bounded like the plain body; anything else is 415. Errors are google.rpc.Status as JSON.
"""

from __future__ import annotations

import logging
from typing import Any, NamedTuple
from urllib.parse import quote

from starlette.types import Receive, Scope, Send

from mesh.context import current_call, timeout_seconds
from mesh.contract.backends.backend import Backend, Reply
from mesh.contract.http_rules.router import NotAllowed, Router
from mesh.contract.methods import Contract
from mesh.contract.rest.documentation import PAGES, Documentation
from mesh.contract.rest.exchange import Asked, BrokenStream, Response, error_response, send_answer
from mesh.contract.rest.metadata import request_metadata, response_headers
from mesh.contract.rest.streaming import answer_stream
from mesh.contract.rest.transcoding import Endpoint, Location, UnknownFields
from mesh.contract.status import HandlerFailure, error_headers
from mesh.errors import Code, StatusError

log = logging.getLogger(__name__)


class Route(NamedTuple):
    """The target of a rule in the router."""

    endpoint: Endpoint
    location: Location | None

    def __str__(self) -> str:
        return str(self.endpoint.method)


class MatchedRoute(NamedTuple):
    """The route that a request's scope reports; `path` is the template, like that of a route of Starlette's."""

    path: str


class Transcoder:
    """Serves the rules of `contract` by calling `backend`.

    prefix: the path below which all rules lie, such as `/api/grpc`; ASGI's root_path is removed before it.
    unknown_fields: whether a field or parameter the message does not have is refused (400, naming the nearest one) or
    ignored. max_body: in bytes, of a plain body and of an unpacked one. What a servicer raises other than StatusError
    passes through, for the server to log and answer, and so does BrokenStream, upon which it closes the connection. A
    rule that cannot be served is logged as a warning, and is no path of the application.
    descriptors: a serialized FileDescriptorSet with source info, whose comments become the descriptions at
    `/openapi.json` and `/docs`, which are answered where no rule has these paths.
    """

    def __init__(
        self,
        contract: Contract,
        backend: Backend,
        *,
        prefix: str = "",
        unknown_fields: UnknownFields = "reject",
        max_body: int = 4 * 1024 * 1024,
        descriptors: bytes = b"",
    ) -> None:
        self.contract = contract
        self.prefix = prefix.rstrip("/")
        self._backend = backend
        self._max_body = max_body
        endpoints = (Endpoint(m, binding, unknown_fields) for m in contract.methods for binding in m.bindings)
        routes = [Route(endpoint, Location.of(contract, endpoint)) for endpoint in endpoints]
        self._documentation = Documentation(contract, descriptors, closed=unknown_fields == "reject")
        for sentence in contract.refused:
            log.warning("%s; the rule is not served", sentence)
        self._router = Router((r.endpoint.binding.http_method, r.endpoint.binding.template, r) for r in routes)

    def matches(self, scope: Scope) -> bool:
        """Return True if some rule has this path, with whatever method: for mounting beside another app.

        The pages count only below a prefix: otherwise the app may have pages of these names.
        """
        try:
            path = self._path(scope)[1]
            return bool(self._router.allowed(path)) or (bool(self.prefix) and path in PAGES)
        except StatusError:
            return False

    def document(self) -> dict[str, Any]:
        """Return the OpenAPI document, whose paths lie under the prefix."""
        return self._documentation.document(self.prefix)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await _decline(scope, receive, send)
            return
        try:
            answer = await self._answer(scope, receive, send)
        except (BrokenStream, HandlerFailure):
            raise
        except StatusError as error:
            answer = error_response(error)
        if answer is not None:
            await send_answer(answer, send, with_body=scope["method"] != "HEAD")

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> Response | None:
        """Return the response, or None if it was a stream and has been sent."""
        mount, path = self._path(scope)
        method = scope["method"]
        try:
            route, values = self._find(method, path)
        except NotAllowed as refused:
            if method != "OPTIONS":
                raise _as_asked(refused, mount, path) from None
            return Response(204, error_headers(refused))
        except StatusError as error:
            if path not in PAGES:
                raise _as_asked(error, mount, path) from None
            return self._documentation.answer(method, path, mount)
        scope["route"] = MatchedRoute(mount + route.endpoint.binding.template.text)
        headers = scope["headers"]
        asked = Asked(
            route.endpoint, values, _query(scope), headers, request_metadata(headers), _timeout(scope), method == "HEAD"
        )
        if route.endpoint.method.streaming:
            return await answer_stream(self._backend, asked, receive, send, self._max_body)
        request = await asked.message(receive, self._max_body)
        reply = await self._backend.unary(route.endpoint.method, request, asked.metadata, asked.timeout)
        return _answered(route, reply, mount)

    def _find(self, method: str, path: str) -> tuple[Route, list[str]]:
        try:
            return self._router.find(method, path)
        except NotAllowed as refused:
            if method != "HEAD" or "GET" not in refused.allow:
                raise
            return self._router.find("GET", path)

    def _path(self, scope: Scope) -> tuple[str, str]:
        """Split the raw path into the path above the rules and the rest; raises StatusError for a path elsewhere."""
        path = _raw_path(scope)
        mount = ""
        if root := scope.get("root_path"):
            root = quote(root)
            if path.startswith(root):
                mount, path = root, path[len(root) :]
        if self.prefix:
            if not path.startswith(self.prefix + "/"):
                raise StatusError(Code.NOT_FOUND, f"no rule for the path {path}")
            mount, path = mount + self.prefix, path[len(self.prefix) :]
        return mount, path


def _as_asked(error: StatusError, mount: str, path: str) -> StatusError:
    """Return the router's error, naming the path as the caller wrote it."""
    error.message = error.message.replace(path, mount + path, 1)
    return error


def _answered(route: Route, reply: Reply, mount: str) -> Response:
    content, content_type = route.endpoint.response(reply.message)
    headers = [(b"content-type", content_type.encode())]
    if reply.metadata:
        headers += response_headers(reply.metadata)
    if route.location is None:
        return Response(200, headers, content)
    made = route.location.path(reply.message)
    if made is not None:
        headers.append((b"location", (mount + made).encode()))
    return Response(201, headers, content)


def _raw_path(scope: Scope) -> str:
    raw: bytes | None = scope.get("raw_path")
    if not raw:
        return quote(scope["path"])
    try:
        return raw.decode()
    except UnicodeDecodeError:
        raise StatusError(Code.INVALID_ARGUMENT, "the path is not UTF-8") from None


def _query(scope: Scope) -> str:
    raw: bytes = scope["query_string"]
    try:
        return raw.decode()
    except UnicodeDecodeError:
        raise StatusError(Code.INVALID_ARGUMENT, "the query is not UTF-8") from None


def _timeout(scope: Scope) -> float | None:
    """Return the seconds left: of the current call, else of a grpc-timeout header. Raises StatusError if none are."""
    call = current_call.get()
    seconds = _header_timeout(scope) if call is None else call.remaining()
    if seconds is not None and seconds <= 0:
        raise StatusError(Code.DEADLINE_EXCEEDED, "the deadline had passed before the call began")
    return seconds


def _header_timeout(scope: Scope) -> float | None:
    for name, value in scope["headers"]:
        if name == b"grpc-timeout":
            try:
                return timeout_seconds(value.decode("latin-1"))
            except ValueError as error:
                raise StatusError(Code.INVALID_ARGUMENT, str(error)) from None
    return None


async def _decline(scope: Scope, receive: Receive, send: Send) -> None:
    """Acknowledge lifespan messages; close a WebSocket before it opens."""
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": 1000})
        return
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return
