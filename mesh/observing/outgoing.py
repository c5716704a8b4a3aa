"""Calls that services make, from the moment they begin to the record of their end."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from typing import Any

from mesh.context import current_call
from mesh.observing.span import Span
from mesh.service import ServiceContext, current_service_var
from mesh.topology.model import Kind


def current_task() -> asyncio.Task[Any] | None:
    """Return the task that is running; None in a thread without a running loop."""
    try:
        return asyncio.current_task()
    except RuntimeError:
        return None


class Outgoing:
    """One attempt of a call that a service makes; `end()` records it.

    declared, actual: addresses, see Span.
    """

    __slots__ = ("_ended", "_journal", "_started", "span")

    def __init__(
        self, service: ServiceContext, protocol: Kind, method: str, target: str, declared: str, actual: str
    ) -> None:
        call = current_call.get()
        trace_id, parent_id = (call.trace_id, call.span_id) if call is not None else (os.urandom(16).hex(), None)
        span_id = os.urandom(8).hex()
        self._journal = service.journal
        self._ended = False
        self.span = Span(service.name, "client", protocol, method, target, trace_id, span_id, parent_id, time.time())
        self.span.declared = declared
        self.span.actual = actual or declared
        self.span.generation = service.generation
        task = current_task()
        self.span.worker = task.get_name() if task is not None else threading.current_thread().name
        self._journal.calling[span_id] = service.name
        self._started = time.perf_counter()

    @property
    def traceparent(self) -> str:
        """The header by which the answering side knows this attempt."""
        return f"00-{self.span.trace_id}-{self.span.span_id}-01"

    def end(self, status: str, error: BaseException | None = None) -> None:
        """Record the attempt, once; whatever ends it a second time is passed over."""
        if self._ended:
            return
        self._ended = True
        span = self.span
        span.milliseconds = (time.perf_counter() - self._started) * 1000
        span.status = status
        span.error = type(error).__name__ if error is not None else None
        self._journal.calling.pop(span.span_id, None)
        # Asked now: what a call leaves running after its answer is part of no tree that is still to be shown.
        span.is_root = span.parent_id is None or span.parent_id not in self._journal.in_flight
        self._journal.append(span)


def outgoing(protocol: Kind, method: str, target: str = "", declared: str = "", actual: str = "") -> Outgoing | None:
    """Begin a call of the service that is running; None outside of one, and where nothing is recorded."""
    service = current_service_var.get()
    if service is None or not service.journal.is_recording:
        return None
    return Outgoing(service, protocol, method, target, declared, actual)
