"""OpenTelemetry's semantic conventions, 1.44: the one table from the fields of the record to names of attributes.

Those of HTTP are stable; those of RPC are a release candidate, whose names may still move.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mesh.observing.secrets import Secrets
from mesh.observing.span import Span
from mesh.topology.model import Address

VERSION = "1.44.0"
SCHEMA_URL = f"https://opentelemetry.io/schemas/{VERSION}"

SERVICE_NAME = "service.name"
LOG_STREAM = "log.iostream"
ASGI_EVENT = "asgi.event.type"

#: Statuses of gRPC that are errors of the answering side; to the caller every one but OK is an error.
_SERVER_ERRORS = ("UNKNOWN", "DEADLINE_EXCEEDED", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS")

_HTTP: dict[str, Callable[[Span, Secrets], Any]] = {
    "http.request.method": lambda span, _: span.method,
    "http.route": lambda span, _: span.route,
    "http.response.status_code": lambda span, _: int(span.status) if span.status.isdecimal() else None,
    "url.scheme": lambda span, _: "http",
    "url.path": lambda span, _: span.target.partition("?")[0],
    "url.query": lambda span, secrets: secrets.masked_query(span.target.partition("?")[2]),
    "http.request.body.size": lambda span, _: span.request_size or None,
    "http.response.body.size": lambda span, _: span.response_size or None,
    "http.request.resend_count": lambda span, _: span.attempt - 1 or None,
}
_RPC: dict[str, Callable[[Span, Secrets], Any]] = {
    "rpc.system.name": lambda span, _: "grpc",
    "rpc.method": lambda span, _: span.method.removeprefix("/"),
    "rpc.response.status_code": lambda span, _: span.status,
}
_BOTH: dict[str, Callable[[Span, Secrets], Any]] = {
    "server.address": lambda span, _: _address(span.declared, 0),
    "server.port": lambda span, _: _address(span.declared, 1),
    "service.peer.name": lambda span, _: span.peer if span.kind == "client" else None,
    "error.type": lambda span, _: span.error or (span.status if is_error(span) else None),
    # No convention has a name for these.
    "mesh.attempt": lambda span, _: span.attempt if span.attempt > 1 else None,
    "mesh.fallback": lambda span, _: span.way,
    "mesh.generation": lambda span, _: span.generation or None,
}


def attributes(span: Span, secrets: Secrets) -> dict[str, Any]:
    """Return the attributes of a call that are known, by the names of the conventions; no payloads."""
    table = (_RPC if span.protocol == "grpc" else _HTTP) | _BOTH
    found = {name: value(span, secrets) for name, value in table.items()}
    return {name: value for name, value in found.items() if value not in (None, "")}


def name_of(span: Span) -> str:
    """Return the span's name: the method with the route's template, or the full name of the RPC."""
    if span.protocol == "grpc":
        return span.method.removeprefix("/")
    return f"{span.method} {span.route}" if span.route else span.method


def is_error(span: Span) -> bool:
    """Return whether the call is an error to the side that recorded it."""
    if not span.status:
        return True
    if span.protocol == "grpc":
        return span.status in _SERVER_ERRORS if span.kind == "server" else span.status != "OK"
    return span.status >= ("500" if span.kind == "server" else "400")


def _address(declared: str, part: int) -> Any:
    try:
        found = Address.parse(declared)
    except ValueError:
        return None
    return (found.host, found.port)[part]
