"""Notes the last safe request of a service, for whoever wants to ask it again."""

from __future__ import annotations

import inspect
import time
from collections.abc import Mapping
from typing import Any

import grpc
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mesh.contract.servicers import Handler, Handlers
from mesh.observing.exchanges import Exchange
from mesh.service import ServiceContext

#: Bytes; a longer answer is not kept.
MAX_ANSWER = 1024 * 1024
_DROPPED = frozenset({b"traceparent", b"grpc-timeout", b"content-length", b"connection"})


def recorded_app(app: ASGIApp, service: ServiceContext) -> ASGIApp:
    """The application, whose last whole answer to a GET is kept; itself where the service keeps none."""
    exchanges = service.exchanges
    if exchanges is None:
        return app

    async def recording(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "GET":
            await app(scope, receive, send)
            return
        started, answer, status, whole = time.perf_counter(), bytearray(), "", False

        async def keeping(message: Message) -> None:
            nonlocal status, whole
            if message["type"] == "http.response.start":
                status = str(message["status"])
            elif len(answer) <= MAX_ANSWER:
                answer.extend(message.get("body", b""))
            whole = not message.get("more_body", message["type"] == "http.response.start")
            await send(message)

        await app(scope, receive, keeping)
        query = b"?" + scope["query_string"] if scope["query_string"] else b""
        target = (scope["raw_path"] + query).decode("latin-1")
        headers = tuple((n.decode("latin-1"), v.decode("latin-1")) for n, v in scope["headers"] if n not in _DROPPED)
        if whole and len(answer) <= MAX_ANSWER:
            milliseconds = (time.perf_counter() - started) * 1000
            exchanges.last[service.name] = Exchange("http", target, headers, b"", status, bytes(answer), milliseconds)

    return recording


def recorded_methods(
    table: Mapping[str, Handler], handlers: Handlers, service: ServiceContext
) -> Mapping[str, Handler]:
    """The layered methods, of which those that only read keep their last answer."""
    if service.exchanges is None:
        return table
    reads = {method.path for method in handlers.contract() if method.idempotent and not method.streaming}
    return {path: _recorded(path, each, service) if path in reads else each for path, each in table.items()}


def _recorded(path: str, handler: Handler, service: ServiceContext) -> Handler:
    behave: Any = handler.unary_unary

    def note(request: bytes, context: Any, answer: bytes, started: float) -> None:
        pairs = ((key, value) for key, value in context.invocation_metadata() if isinstance(value, str))
        metadata = tuple(pair for pair in pairs if not pair[0].startswith(("grpc-", "user-agent", "traceparent")))
        milliseconds = (time.perf_counter() - started) * 1000
        if service.exchanges is not None:
            service.exchanges.last[service.name] = Exchange("grpc", path, metadata, request, "OK", answer, milliseconds)

    def plain(request: bytes, context: Any) -> bytes:
        started = time.perf_counter()
        answer: bytes = behave(request, context)
        note(request, context, answer, started)
        return answer

    async def asynchronous(request: bytes, context: Any) -> bytes:
        started = time.perf_counter()
        answer: bytes = await behave(request, context)
        note(request, context, answer, started)
        return answer

    return grpc.unary_unary_rpc_method_handler(asynchronous if inspect.iscoroutinefunction(behave) else plain)
