"""Keeps the last whole answer of a service to a GET, so that the request can be repeated."""

from __future__ import annotations

import time

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mesh.observing.exchanges import Exchange
from mesh.service import ServiceContext

#: Bytes; a longer answer is not kept.
MAX_ANSWER = 1024 * 1024
_DROPPED = frozenset({b"traceparent", b"grpc-timeout", b"content-length", b"connection"})


def recorded_app(app: ASGIApp, service: ServiceContext) -> ASGIApp:
    """Return the application with its last whole answer to a GET kept, or unchanged if the service keeps none."""
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
