"""Keeps the last answer of each gRPC method that only reads, so that the call can be repeated."""

from __future__ import annotations

import inspect
import time
from collections.abc import Mapping
from typing import Any

import grpc

from mesh.contract.servicers import Handler, Handlers
from mesh.observing.exchanges import Exchange
from mesh.service import ServiceContext


def recorded_methods(
    table: Mapping[str, Handler], handlers: Handlers, service: ServiceContext
) -> Mapping[str, Handler]:
    """Return the layered methods; those that only read keep their last answer."""
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
