"""The record of one attempt of one call, the source of every view and export."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from mesh.topology.model import Kind

SpanKind = Literal["server", "client", "internal"]

#: Bytes of a body or message that are kept; its size is counted in full.
PAYLOAD_LIMIT = 16 * 1024


class Span(Struct):
    """One attempt of one call, as recorded by the service that made it (`client`) or that answered it (`server`).

    Of the kind `internal` is what a service's own OpenTelemetry SDK has sent: its name is the method, its attributes
    are the request, its status is OK or ERROR.

    service: whose record it is. peer: the service on the other side, None if unknown or outside the topology.
    method: an HTTP method, or the full name of a gRPC method, `/user.UserService/GetUser`. target: raw path and query
    of an HTTP request, empty for gRPC. route: the template that the path matched.
    declared, actual: the address that the client's code named, and the one that was used.
    start: seconds since the epoch; milliseconds: by the monotonic clock.
    status: an HTTP status or the name of a gRPC code, empty if none came. error: the type of the exception.
    request, response: bodies or serialized messages, those of a stream concatenated, cut at PAYLOAD_LIMIT;
    *_size: their total bytes; *_type: the Content-Type, empty for gRPC.
    attempt: counts the attempts of one call from 1. attempt_of: the id of the first one, None for that itself.
    way: what had been tried before, for an attempt over a second transport.
    generation: of the service's code. worker: the name of the task, or of the thread without an event loop.
    cause: the exception that a handler did not expect, and the place in the service's code, or empty.
    is_root: the call was not made for a call that is being answered in this process.
    """

    service: str
    kind: SpanKind
    protocol: Kind
    method: str
    target: str
    trace_id: str
    span_id: str
    parent_id: str | None
    start: float
    milliseconds: float = 0.0
    status: str = ""
    is_root: bool = False
    peer: str | None = None
    route: str | None = None
    declared: str = ""
    actual: str = ""
    error: str | None = None
    attempt: int = 1
    attempt_of: str | None = None
    way: str | None = None
    generation: int = 0
    worker: str = ""
    request_size: int = 0
    response_size: int = 0
    request_type: str = ""
    response_type: str = ""
    request: bytes = b""
    response: bytes = b""
    cause: str = ""

    @property
    def name(self) -> str:
        """Return `GET /users/1`, without the query, or the bare name of a gRPC method."""
        if self.kind == "internal":
            return self.method
        if self.protocol == "grpc":
            return self.method.rpartition("/")[2]
        return f"{self.method} {self.target.partition('?')[0]}"

    def add_request(self, data: bytes) -> None:
        """Add a part of the request."""
        room = PAYLOAD_LIMIT - self.request_size
        self.request_size += len(data)
        if room > 0 and data:
            part = bytes(data[:room])
            self.request = self.request + part if self.request else part

    def add_response(self, data: bytes) -> None:
        """Add a part of the response."""
        room = PAYLOAD_LIMIT - self.response_size
        self.response_size += len(data)
        if room > 0 and data:
            part = bytes(data[:room])
            self.response = self.response + part if self.response else part
