"""The layers around a call: set, counted, recorded, in this order, and taken away again."""

from __future__ import annotations

import gc
import threading
import time
from collections.abc import Iterator
from contextvars import copy_context
from pathlib import Path

import pytest

from mesh.context import Call, call_from, current_call
from mesh.errors import Code, StatusError
from mesh.layers import in_time, inbound, status_of
from mesh.observing.journal import Line
from mesh.observing.span import Span
from mesh.service import ServiceContext, current_service_var


@pytest.fixture
def service() -> ServiceContext:
    return ServiceContext("user-service", Path())


def test_the_call_is_in_hand_within_and_gone_after(service: ServiceContext) -> None:
    call = call_from({})
    with inbound(service, "grpc", "GetUser", call):
        assert current_call.get() is call
        assert current_service_var.get() is service
    assert current_call.get() is None
    assert current_service_var.get() is None


def test_a_call_within_a_call_gives_the_outer_one_back(service: ServiceContext) -> None:
    outer, inner = call_from({}), call_from({})
    with inbound(service, "http", "GET /", outer):
        with inbound(service, "grpc", "GetUser", inner):
            assert current_call.get() is inner
        assert current_call.get() is outer


def test_a_call_that_is_left_to_the_garbage_collector_changes_nothing_elsewhere(service: ServiceContext) -> None:
    def stream() -> Iterator[None]:
        with inbound(service, "grpc", "Watch", call_from({})):
            yield

    begun = stream()
    context = copy_context()
    context.run(current_service_var.set, service)
    context.run(next, begun)
    del begun
    gc.collect()
    assert current_call.get() is None
    assert current_service_var.get() is None


def test_a_call_is_in_flight_with_its_thread_until_it_ends(service: ServiceContext) -> None:
    call = call_from({})
    with inbound(service, "grpc", "GetUser", call):
        (in_flight,) = service.journal.in_flight.items()
        assert in_flight[0] == call.span_id
        assert (in_flight[1].service, in_flight[1].name) == (service, "GetUser")
        assert in_flight[1].thread == threading.get_ident()
    assert service.journal.in_flight == {}


def test_a_call_is_recorded_once_with_what_the_caller_was_told(service: ServiceContext) -> None:
    call = call_from({})
    before = time.time()
    with inbound(service, "grpc", "GetUser", call) as answer:
        answer.status = "NOT_FOUND"
    (span,) = service.journal.entries()
    assert isinstance(span, Span)
    assert (span.service, span.kind, span.protocol, span.name) == ("user-service", "server", "grpc", "GetUser")
    assert span.status == "NOT_FOUND"
    assert (span.trace_id, span.span_id, span.parent_id, span.is_root) == (call.trace_id, call.span_id, None, True)
    assert before <= span.start <= time.time()
    assert 0 <= span.milliseconds < 1000


def test_a_call_that_fails_is_recorded_and_over_all_the_same(service: ServiceContext) -> None:
    def fails() -> None:
        with inbound(service, "grpc", "GetUser", call_from({})) as answer:
            answer.status = "INTERNAL"
            raise SystemExit

    with pytest.raises(SystemExit):
        fails()
    assert [each.status for each in service.journal.entries() if isinstance(each, Span)] == ["INTERNAL"]
    assert (service.journal.in_flight, current_call.get()) == ({}, None)


def test_a_call_made_here_is_no_root_and_one_made_elsewhere_is(service: ServiceContext) -> None:
    outer = call_from({})
    with inbound(service, "http", "GET /", outer):
        made_here = Call(outer.trace_id, "a" * 16, outer.span_id)
        made_elsewhere = Call(outer.trace_id, "b" * 16, "c" * 16)
        for call in (made_here, made_elsewhere):
            with inbound(service, "grpc", "GetUser", call):
                pass
    assert [each.is_root for each in service.journal.entries() if isinstance(each, Span)] == [False, True, True]


def test_nothing_runs_for_a_caller_who_has_stopped_waiting() -> None:
    in_time(call_from({}))
    in_time(call_from({"grpc-timeout": "10S"}))
    with pytest.raises(StatusError, match="DEADLINE_EXCEEDED: the deadline had passed before the handler ran"):
        in_time(call_from({"grpc-timeout": "0m"}))


def test_a_status_is_the_answer_and_leaves_no_line(service: ServiceContext) -> None:
    error = StatusError(Code.NOT_FOUND, "user 99 does not exist")
    assert status_of(error, service, call_from({})) is error
    assert service.journal.entries() == []


@pytest.mark.parametrize("error", [ValueError("a secret"), SystemExit(3), KeyboardInterrupt()])
def test_a_bug_is_an_id_to_the_caller_and_a_traceback_with_it_in_the_log(
    service: ServiceContext, error: BaseException
) -> None:
    call = Call("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331")
    told = status_of(error, service, call)
    assert str(told) == "INTERNAL: internal error in user-service (request 0af7651916cd43dd)"
    (line,) = service.journal.entries()
    assert isinstance(line, Line)
    assert (line.service, line.stream) == ("user-service", "stderr")
    assert line.text.startswith("request 0af7651916cd43dd failed\n")
    assert type(error).__name__ in line.text
