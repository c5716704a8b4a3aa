"""Outgoing calls of services, from their start to the record of their end."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from msgspec import Struct

from mesh.context import current_call, new_span_id, new_trace_id, trace_and_span
from mesh.observing.span import Span
from mesh.service import ServiceContext, current_service_var
from mesh.topology.model import Kind


def current_task() -> asyncio.Task[Any] | None:
    """Return the running task, or None in a thread without a running loop."""
    try:
        return asyncio.current_task()
    except RuntimeError:
        return None


class Attempts(Struct):
    """The attempts of one call, over one transport after the other; see Span for `way`."""

    count: int = 0
    first: str | None = None
    way: str | None = None

    @contextmanager
    def next(self) -> Iterator[None]:
        """Make the calls of the block attempts of this one call."""
        before = attempts_var.get()
        attempts_var.set(self)
        try:
            yield
        finally:
            attempts_var.set(before)


_COLLECTOR_PATHS = frozenset({"/v1/traces", "/v1/logs", "/v1/metrics"})

#: The call of which the next attempt is one; None for a separate call.
attempts_var: ContextVar[Attempts | None] = ContextVar("attempts_var", default=None)


class Outgoing:
    """One attempt of a call that a service makes; `end()` records it."""

    __slots__ = ("_ended", "_journal", "_started", "span")

    def __init__(self, service: ServiceContext, span: Span) -> None:
        self.span = span
        self._journal = service.journal
        self._ended = False
        span.generation = service.generation
        task = current_task()
        span.worker = task.get_name() if task is not None else threading.current_thread().name
        if (attempts := attempts_var.get()) is not None:
            attempts.count += 1
            span.attempt, span.attempt_of, span.way = attempts.count, attempts.first, attempts.way
            attempts.first = attempts.first or span.span_id
        self._journal.calling[span.span_id] = service.name
        self._started = time.perf_counter()

    @property
    def traceparent(self) -> str:
        """Return the header by which the answering side knows this attempt."""
        return f"00-{self.span.trace_id}-{self.span.span_id}-01"

    def end(self, status: str, error: BaseException | None = None) -> None:
        """Record the attempt; only the first call has an effect."""
        if self._ended:
            return
        self._ended = True
        span = self.span
        span.milliseconds = (time.perf_counter() - self._started) * 1000
        span.status = status
        span.error = type(error).__name__ if error is not None else None
        self._journal.calling.pop(span.span_id, None)
        # Checked now: what a call leaves running after its answer is not part of any tree still to be shown.
        span.is_root = span.parent_id is None or not self._journal.is_open(span.parent_id)
        self._journal.append(span)


def _is_telemetry(method: str, target: str) -> bool:
    """Return whether the call is that of an OpenTelemetry SDK to its collector."""
    return (method == "POST" and target in _COLLECTOR_PATHS) or method.startswith("/opentelemetry.proto.collector.")


def outgoing(
    protocol: Kind, method: str, target: str, declared: str, actual: str, peer: str | None, given: str | None
) -> Outgoing | None:
    """Begin a call of the current service; None outside of one, and for a call that is already recorded.

    given: the traceparent that the request has. That of the service's own tracer names the attempt; one that was
    copied from the current call does not.
    """
    service = current_service_var.get()
    if service is None or not service.journal.is_recording or _is_telemetry(method, target):
        return None
    call = current_call.get()
    trace_id, parent_id = (call.trace_id, call.span_id) if call is not None else (new_trace_id(), None)
    span_id = new_span_id()
    known = trace_and_span(given) if given else None
    if known is not None:
        if known[1] in service.journal.calling:
            return None
        if call is None or known[1] not in (call.span_id, call.parent_id):
            span_id = known[1]
            if known[0] != trace_id:
                trace_id, parent_id = known[0], None
    span = Span(service.name, "client", protocol, method, target, trace_id, span_id, parent_id, time.time())
    span.declared, span.actual, span.peer = declared, actual, peer
    return Outgoing(service, span)
