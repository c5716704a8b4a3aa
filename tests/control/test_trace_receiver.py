"""The port on which spans are received: what it takes and refuses."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from contextlib import closing

import pytest
import requests
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans
from opentelemetry.proto.trace.v1.trace_pb2 import Span as OtlpSpan

from mesh.control.trace_receiver import TraceReceiver
from mesh.errors import UsageError
from mesh.observing.journal import Journal
from mesh.observing.span import Span

SPAN = OtlpSpan(
    trace_id=b"t" * 16, span_id=b"s" * 8, name="job", start_time_unix_nano=10**9, end_time_unix_nano=2 * 10**9
)
BODY = ExportTraceServiceRequest(resource_spans=[ResourceSpans(scope_spans=[ScopeSpans(spans=[SPAN])])])


@pytest.fixture
def journal() -> Journal:
    return Journal()


@pytest.fixture
def receiver(journal: Journal) -> Iterator[TraceReceiver]:
    with closing(TraceReceiver(journal, 0)) as receiver:
        receiver.start()
        yield receiver


def post(receiver: TraceReceiver, body: bytes, **headers: str) -> int:
    given = {"content-type": "application/x-protobuf"} | {
        name.replace("_", "-"): each for name, each in headers.items()
    }
    with requests.Session() as session:
        session.trust_env = False
        return session.post(f"http://127.0.0.1:{receiver.port}/v1/traces", body, headers=given, timeout=60).status_code


def test_spans_are_taken_plain_and_compressed(receiver: TraceReceiver, journal: Journal) -> None:
    assert post(receiver, BODY.SerializeToString()) == 200
    SPAN.span_id = b"r" * 8
    second = ExportTraceServiceRequest(resource_spans=[ResourceSpans(scope_spans=[ScopeSpans(spans=[SPAN])])])
    assert post(receiver, gzip.compress(second.SerializeToString()), content_encoding="gzip") == 200
    found = [each for each in journal.entries() if isinstance(each, Span)]
    assert [(each.kind, each.name, each.milliseconds) for each in found] == [("internal", "job", 1000.0)] * 2


def test_what_is_no_span_is_refused(receiver: TraceReceiver, journal: Journal) -> None:
    assert post(receiver, b"{}", content_type="application/json") == 415
    assert post(receiver, b"\xff\xff") == 400
    assert post(receiver, b"no gzip", content_encoding="gzip") == 400
    assert journal.entries() == []


def test_a_port_that_is_taken_is_a_mistake_with_the_way_out(receiver: TraceReceiver) -> None:
    with pytest.raises(UsageError, match=f"--otlp-port {receiver.port}: the port is taken, perhaps by a collector"):
        TraceReceiver(Journal(), receiver.port)
