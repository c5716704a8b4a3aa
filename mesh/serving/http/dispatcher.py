"""The ASGI application that an HTTP server calls: the layers around the current application of the service."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterable

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mesh.context import Call, call_from
from mesh.contract.rest.exchange import BrokenStream, check_start, error_response, send_answer
from mesh.errors import Code, StatusError
from mesh.layers import STOPPED, in_time, inbound, record, status_of
from mesh.observing.journal import Journal
from mesh.observing.span import Span
from mesh.service import ServiceContext
from mesh.serving.http.cross_site import CrossSiteGuard

_CARRIED = frozenset({b"traceparent", b"idempotency-key", b"grpc-timeout"})


class AppDispatcher:
    """Stays while the code behind it changes: application and service are looked up at every request.

    guard: refuses requests of other sites' pages; None if every client is allowed.
    stopping: the server is about to cancel the requests that were not answered within the grace period.
    """

    guard: CrossSiteGuard | None = None

    def __init__(self, service: ServiceContext) -> None:
        self.stopping = False
        self._behind = (closed(f"{service.name} is starting"), service)
        self._max_requests: int | None = None
        self._in_flight = 0

    def serve(self, app: ASGIApp, service: ServiceContext, max_requests: int | None = None) -> None:
        """Serve this application instead of the previous one; requests in flight end on the code they began with.

        max_requests: how many may be in flight at once; further ones are answered with UNAVAILABLE.
        """
        self._behind = (app, service)
        self._max_requests = max_requests

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            return
        try:
            call = call_from(call_headers(scope))
        except ValueError as error:
            refusal = StatusError(Code.INVALID_ARGUMENT, str(error))
            await send_answer(error_response(refusal), send)
            return
        call.received = scope["headers"]
        app, service = self._behind
        with inbound(service, "http", scope.get("method", "WS"), call, _target(scope)) as span:
            if service.journal.is_recording and scope["type"] == "http":
                receive, send = _noting(span, service.journal, scope, receive, send)
                _name_in_headers(span, scope)
            await self._answer(app, service, scope, receive, send, call, span)
            span.route = span.route or _route(scope)  # known already where the answer was recorded

    async def _one_of_few(self, app: ASGIApp, scope: Scope, receive: Receive, send: Send, most: int) -> None:
        if self._in_flight >= most:
            raise StatusError(Code.UNAVAILABLE, f"{most} requests are in flight, as many as limits.requests allows")
        self._in_flight += 1
        try:
            await app(scope, receive, send)
        finally:
            self._in_flight -= 1

    async def _answer(
        self,
        app: ASGIApp,
        service: ServiceContext,
        scope: Scope,
        receive: Receive,
        send: Send,
        call: Call,
        span: Span,
    ) -> None:
        observed = _observing(span, call, send)
        try:
            in_time(call)
            if self.guard is not None and (refused := await self.guard.refusal(app, service, scope)) is not None:
                if scope["type"] == "http":
                    raise refused
                span.status = "403"
                await send({"type": "websocket.close"})  # before it is accepted: the upgrade is answered with 403
                return
            if self._max_requests is None or scope["type"] != "http":
                await app(scope, receive, observed)
            else:
                await self._one_of_few(app, scope, receive, observed, self._max_requests)
        except (asyncio.CancelledError, GeneratorExit):
            if self.stopping and not span.status and scope["type"] == "http":
                await send_answer(error_response(StatusError(Code.UNAVAILABLE, STOPPED)), observed)
                return
            span.status = span.status or "499"
            raise
        except BrokenStream:
            return  # The handler has given the reason; returning now makes the server cut the connection, as it must.
        except BaseException as error:  # A SystemExit that reached the loop would end the whole service.
            if service.journal.is_open(span.span_id):
                span.error = type(error).__name__  # Not of a background task, which fails after the answer.
            refusal = status_of(error, service, call)
            if not span.status and scope["type"] == "http":
                await send_answer(error_response(refusal), observed)
            # Otherwise half an answer has been sent: returning now makes the server cut the connection, as it must.


def _observing(span: Span, call: Call, send: Send) -> Send:
    """Return a `send` that notes the status in the record, and adds the timings of the calls made for this one."""

    async def observed(message: Message) -> None:
        if message["type"] == "http.response.start":
            check_start(message)
            span.status = str(message["status"])
            if call.timings:
                value = ", ".join(map(str, call.timings)).encode()
                message["headers"] = [*message.get("headers", ()), (b"server-timing", value)]
        elif message["type"] == "websocket.accept":
            span.status = "101"
        await send(message)

    return observed


def _name_in_headers(span: Span, scope: Scope) -> None:
    """Tell the tracer of a service that brings its own which call it answers, where the caller has not told."""
    if span.parent_id is None and "opentelemetry.trace" in sys.modules:
        scope["headers"] = [*scope["headers"], (b"traceparent", f"00-{span.trace_id}-{span.span_id}-01".encode())]


def _target(scope: Scope) -> str:
    """Return the raw path and query."""
    path: bytes = scope.get("raw_path") or scope["path"].encode()
    query: bytes = scope.get("query_string", b"")
    return (b"%b?%b" % (path, query) if query else path).decode("latin-1")


def _noting(span: Span, journal: Journal, scope: Scope, receive: Receive, send: Send) -> tuple[Receive, Send]:
    """Return the two callables; the bodies that pass through are added to the record, complete before the last byte."""
    length: int | None = None

    async def receiving() -> Message:
        message = await receive()
        if message["type"] == "http.request":
            span.add_request(message.get("body", b""))
        return message

    async def sending(message: Message) -> None:
        nonlocal length
        is_last = False
        if message["type"] == "http.response.body":
            span.add_response(message.get("body", b""))
            is_last = not message.get("more_body")
        elif message["type"] == "http.response.start":
            span.response_type = _header(message.get("headers", ()), b"content-type")
            length = _length(scope, message)
        # A client that counts does not wait for an end that adds nothing. What failed is recorded once its handler has
        # ended: frameworks answer first, and then raise the exception that belongs to the record.
        is_complete = is_last or (length is not None and span.response_size >= length)
        if is_complete and span.status < "500":
            span.route = _route(scope)
            record(journal, span)
        await send(message)

    span.request_type = _header(scope["headers"], b"content-type")
    return receiving, sending


def _length(scope: Scope, start: Message) -> int | None:
    """Return the bytes of body that the client waits for; None if it waits for an end."""
    if scope["method"] == "HEAD" or start["status"] in (204, 304):
        return 0
    declared = _header(start.get("headers", ()), b"content-length")
    return int(declared) if declared.isdecimal() else None


def _header(headers: Iterable[tuple[bytes, bytes]], wanted: bytes) -> str:
    for name, value in headers:
        if name.lower() == wanted:
            return bytes(value).decode("latin-1")
    return ""


def _route(scope: Scope) -> str | None:
    """Return the template that the path matched.

    FastAPI and Starlette from 1.0 on name the route; earlier ones of Starlette name its endpoint only.
    """
    route, endpoint = scope.get("route"), scope.get("endpoint")
    if route is None and endpoint is not None:
        routes = getattr(scope.get("router"), "routes", ())
        route = next((each for each in routes if getattr(each, "endpoint", None) is endpoint), None)
    return getattr(route, "path", None)


def call_headers(scope: Scope) -> dict[str, str]:
    """Return the response headers of the current call."""
    return {name.decode(): value.decode("latin-1") for name, value in scope["headers"] if name in _CARRIED}


def closed(reason: str) -> ASGIApp:
    """Return an application that answers everything with UNAVAILABLE and the reason."""

    async def unavailable(scope: Scope, receive: Receive, send: Send) -> None:
        raise StatusError(Code.UNAVAILABLE, reason)

    return unavailable
