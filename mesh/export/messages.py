"""Recorded calls and lines as messages of OTLP. Needs the extra `otlp`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, InstrumentationScope, KeyValue
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord, ResourceLogs, ScopeLogs
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Status
from opentelemetry.proto.trace.v1.trace_pb2 import Span as OtlpSpan

from mesh.export import conventions
from mesh.export.merging import Received
from mesh.observing.journal import Line
from mesh.observing.secrets import Secrets
from mesh.observing.span import Span, SpanKind

_SCOPE = InstrumentationScope(name="mesh")
_KINDS = {"server": OtlpSpan.SPAN_KIND_SERVER, "client": OtlpSpan.SPAN_KIND_CLIENT}
_SEVERITIES = {"DEBUG": 5, "INFO": 9, "WARNING": 13, "ERROR": 17, "CRITICAL": 21}


def traces(spans: Iterable[Span], secrets: Secrets) -> bytes:
    """Return a request of the trace service with these calls, by service."""
    by_service: dict[str, list[OtlpSpan]] = {}
    for span in spans:
        by_service.setdefault(span.service, []).append(_span(span, secrets))
    found = [
        ResourceSpans(resource=_resource(name), scope_spans=[ScopeSpans(scope=_SCOPE, spans=each)], schema_url=_SCHEMA)
        for name, each in by_service.items()
    ]
    return ExportTraceServiceRequest(resource_spans=found).SerializeToString()


def logs(lines: Iterable[Line]) -> bytes:
    """Return a request of the logs service with these lines, by service."""
    by_service: dict[str, list[LogRecord]] = {}
    for line in lines:
        by_service.setdefault(line.service, []).append(_record(line))
    found = [
        ResourceLogs(resource=_resource(name), scope_logs=[ScopeLogs(scope=_SCOPE, log_records=each)])
        for name, each in by_service.items()
    ]
    return ExportLogsServiceRequest(resource_logs=found).SerializeToString()


_SCHEMA = conventions.SCHEMA_URL


def _span(span: Span, secrets: Secrets) -> OtlpSpan:
    start = int(span.start * 1e9)
    return OtlpSpan(
        trace_id=bytes.fromhex(span.trace_id),
        span_id=bytes.fromhex(span.span_id),
        parent_span_id=bytes.fromhex(span.parent_id or ""),
        name=conventions.name_of(span),
        kind=_KINDS[span.kind],
        start_time_unix_nano=start,
        end_time_unix_nano=start + int(span.milliseconds * 1e6),
        attributes=_pairs(conventions.attributes(span, secrets)),
        status=Status(code=Status.STATUS_CODE_ERROR, message=span.cause) if conventions.is_error(span) else None,
    )


def _record(line: Line) -> LogRecord:
    severity: Any = _SEVERITIES.get(line.level or "", 0)
    return LogRecord(
        time_unix_nano=int(line.at * 1e9),
        severity_text=line.level or "",
        severity_number=severity,
        body=AnyValue(string_value=line.text),
        attributes=_pairs({conventions.LOG_STREAM: line.stream}),
        trace_id=bytes.fromhex(line.trace_id or ""),
        span_id=bytes.fromhex(line.span_id or ""),
    )


def _resource(service: str) -> Resource:
    return Resource(attributes=_pairs({conventions.SERVICE_NAME: service}))


def _pairs(values: dict[str, Any]) -> Sequence[KeyValue]:
    return [
        KeyValue(
            key=name, value=AnyValue(int_value=value) if isinstance(value, int) else AnyValue(string_value=str(value))
        )
        for name, value in values.items()
    ]


def received(body: bytes) -> Sequence[Received]:
    """Return the spans in a request to the trace service; raises ValueError for anything else."""
    try:
        request = ExportTraceServiceRequest.FromString(body)
    except DecodeError as error:
        raise ValueError(str(error)) from error
    return [
        _received(str(_values(each.resource).get(conventions.SERVICE_NAME, "unknown")), span)
        for each in request.resource_spans
        for scope in each.scope_spans
        for span in scope.spans
    ]


def _received(service: str, span: OtlpSpan) -> Received:
    values = _values(span)
    kinds: dict[int, SpanKind] = {OtlpSpan.SPAN_KIND_SERVER: "server", OtlpSpan.SPAN_KIND_CLIENT: "client"}
    return Received(
        service,
        kinds.get(span.kind, "internal"),
        span.name,
        span.trace_id.hex(),
        span.span_id.hex(),
        span.parent_span_id.hex() or None,
        span.start_time_unix_nano / 1e9,
        (span.end_time_unix_nano - span.start_time_unix_nano) / 1e6,
        span.status.code == Status.STATUS_CODE_ERROR,
        values,
        conventions.ASGI_EVENT in values,
    )


def _values(message: Any) -> dict[str, object]:
    return {each.key: _value(each.value) for each in message.attributes}


def _value(value: AnyValue) -> object:
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [_value(each) for each in value.array_value.values]
    return getattr(value, kind) if kind in ("string_value", "bool_value", "int_value", "double_value") else str(value)
