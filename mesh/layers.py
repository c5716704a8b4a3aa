"""The order of layers around every incoming call.

From the outside in: the current service and call are set (so that everything below knows whose code runs, its trace
and its deadline), the call is counted among those in flight (so that a stop or a reload can wait for it and name it),
its end is recorded, and then the handler runs.
Recording surrounds error handling, so that a call is recorded with what its caller was told.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from mesh.context import Call, current_call
from mesh.contract.status import HandlerFailure
from mesh.errors import Code, StatusError
from mesh.hosting.tracebacks import cause_of, own_traceback
from mesh.observing.journal import InFlight, Journal, Line
from mesh.observing.outgoing import current_task
from mesh.observing.span import Span
from mesh.service import ServiceContext, current_service_var
from mesh.topology.model import Kind

#: The caller's error if its call is cut at the end of the grace period.
STOPPED = "the service stopped before it answered"


@contextmanager
def inbound(service: ServiceContext, protocol: Kind, method: str, call: Call, target: str = "") -> Iterator[Span]:
    """Run the block as the service's answer to `call`; the block fills in the record, above all its status.

    method, target: see Span.
    """
    journal = service.journal
    before = current_call.get(), current_service_var.get()
    current_call.set(call)
    current_service_var.set(service)
    task = current_task()
    span = Span(
        service.name, "server", protocol, method, target, call.trace_id, call.span_id, call.parent_id, time.time()
    )
    parent = call.parent_id
    span.is_root = parent is None or not (journal.is_open(parent) or parent in journal.calling)
    span.peer = journal.calling.get(parent) if parent is not None else None
    span.generation = service.generation
    span.worker = task.get_name() if task is not None else threading.current_thread().name
    journal.in_flight[call.span_id] = InFlight(service, span.name, threading.get_ident(), task)
    try:
        yield span
    finally:
        record(journal, span)
        journal.in_flight.pop(call.span_id, None)
        # Set, not reset with a token: a generator's block can end in another context than it began in, one of this call
        # or, if it is left to the garbage collector, of anything else.
        if current_call.get() is call:
            current_call.set(before[0])
            current_service_var.set(before[1])


def record(journal: Journal, span: Span) -> None:
    """Record a call whose answer is complete; only the first time has an effect.

    Done before the last byte of the answer leaves, the caller finds the record as soon as it has the answer.
    """
    call = journal.in_flight.get(span.span_id)
    if call is None or call.is_answered:
        return
    span.milliseconds = (time.perf_counter() - call.started) * 1000
    call.is_answered = True
    span.cause = call.cause
    if journal.is_recording:
        journal.append(span)


def in_time(call: Call) -> None:
    """Raise DEADLINE_EXCEEDED if the caller no longer waits, so that no handler runs in vain."""
    if call.remaining() == 0:
        raise StatusError(Code.DEADLINE_EXCEEDED, "the deadline had passed before the handler ran")


def status_of(error: BaseException, service: ServiceContext, call: Call) -> StatusError:
    """Return the status for an exception that left a handler.

    A StatusError is the handler's answer. Anything else, SystemExit included, is a bug of the handler: the caller
    gets only a request id; the traceback is written under the service's name with the same id.
    """
    if not isinstance(error, StatusError):
        _log_failure(error, service, call)
        return bug_in(service, call)
    if isinstance(error, HandlerFailure) and error.__cause__ is not None:
        _log_failure(error.__cause__, service, call)
        error.message = error.message or bug_in(service, call).message
    return error


def _log_failure(error: BaseException, service: ServiceContext, call: Call) -> None:
    trace = own_traceback(error)
    if (answered := service.journal.in_flight.get(call.span_id)) is not None:
        answered.cause = cause_of(error)
    line = Line(service.name, f"request {call.request_id} failed\n{trace}", "stderr", level="ERROR")
    line.trace_id, line.span_id = call.trace_id, call.span_id
    service.journal.append(line)


def bug_in(service: ServiceContext, call: Call) -> StatusError:
    """Return the status of a bug: it names where to find the traceback."""
    return StatusError(Code.INTERNAL, f"internal error in {service.name} (request {call.request_id})")
