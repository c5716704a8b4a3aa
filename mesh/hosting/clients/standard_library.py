"""Records calls through `http.client`, which urllib, urllib3 and requests use."""

from __future__ import annotations

from collections.abc import Sequence
from types import ModuleType
from typing import Any

from mesh.hosting.clients.destinations import Destinations
from mesh.hosting.patches import Patches
from mesh.observing.outgoing import Outgoing


class _Request:
    """The parts of a request that a connection is given before its headers end."""

    __slots__ = ("call", "given", "is_chunked", "method", "sent_headers", "target")

    def __init__(self, method: str, target: str) -> None:
        self.method = method
        self.target = target
        self.given: str | None = None
        self.sent_headers = False
        self.is_chunked = False
        self.call: Outgoing | None = None

    def takes(self, header: str | bytes, values: Sequence[Any]) -> bool:
        """Take note of a header; return True for a traceparent, which is not to be written yet."""
        name = header.decode("latin-1") if isinstance(header, bytes) else str(header)
        if name.lower() == "traceparent" and values:
            self.given = values[0].decode("latin-1") if isinstance(values[0], bytes) else str(values[0])
            return True
        self.is_chunked = self.is_chunked or name.lower() == "transfer-encoding"
        return False


def record_http_client(module: ModuleType, patches: Patches, destinations: Destinations) -> None:
    """Record the requests of every `HTTPConnection`."""
    # Several meshes of one process have each replaced these methods: each one looks at its requests only.
    slot, call_slot = f"_mesh_request_{id(destinations)}", f"_mesh_call_{id(destinations)}"
    _record_heads(module.HTTPConnection, patches, destinations, slot)
    _record_exchanges(module.HTTPConnection, patches, slot, call_slot)
    _record_responses(module.HTTPResponse, patches, call_slot)


def _record_heads(connection: Any, patches: Patches, destinations: Destinations, slot: str) -> None:
    """Begin a call where the headers of a request end, and send its trace with them."""
    put_request, put_header, end_headers = connection.putrequest, connection.putheader, connection.endheaders

    def putrequest(self: Any, method: str, url: str, *args: Any, **kwargs: Any) -> None:
        setattr(self, slot, _Request(method, url) if destinations.is_recorded() else None)
        put_request(self, method, url, *args, **kwargs)

    def putheader(self: Any, header: Any, *values: Any) -> None:
        request: _Request | None = getattr(self, slot, None)
        # A traceparent is written at the end of the headers.
        if request is None or not request.takes(header, values):
            put_header(self, header, *values)

    def endheaders(self: Any, *args: Any, **kwargs: Any) -> None:
        request: _Request | None = getattr(self, slot, None)
        if request is None:
            end_headers(self, *args, **kwargs)
            return
        call = destinations.begin("http", request.method, request.target, self.host, self.port, request.given)
        if call is None:
            setattr(self, slot, None)
            if request.given is not None:
                put_header(self, "traceparent", request.given)
            end_headers(self, *args, **kwargs)
            return
        request.call = call
        put_header(self, "traceparent", call.traceparent)
        _ending_on_error(call, end_headers, self, *args, **kwargs)

    patches.replace(connection, "putrequest", putrequest)
    patches.replace(connection, "putheader", putheader)
    patches.replace(connection, "endheaders", endheaders)


def _record_exchanges(connection: Any, patches: Patches, slot: str, call_slot: str) -> None:
    """Record the body of a request, and the head of its response, which gets the call if it has a body."""
    plain_send, get_response = connection.send, connection.getresponse

    def send(self: Any, data: Any) -> None:
        request: _Request | None = getattr(self, slot, None)
        if request is None or request.call is None:
            plain_send(self, data)
            return
        if request.sent_headers and not request.is_chunked and isinstance(data, (bytes, bytearray, memoryview)):
            request.call.span.add_request(bytes(data))
        request.sent_headers = True
        _ending_on_error(request.call, plain_send, self, data)

    def getresponse(self: Any) -> Any:
        request: _Request | None = getattr(self, slot, None)
        if request is None or request.call is None:
            return get_response(self)
        setattr(self, slot, None)
        answer = _ending_on_error(request.call, get_response, self)
        request.call.span.status = str(answer.status)
        request.call.span.response_type = answer.headers.get("content-type", "")
        if answer.length == 0:
            request.call.end(str(answer.status))
        else:
            setattr(answer, call_slot, request.call)
        return answer

    patches.replace(connection, "send", send)
    patches.replace(connection, "getresponse", getresponse)


def _record_responses(response: Any, patches: Patches, call_slot: str) -> None:
    """Record what is read from a response; its end or its close ends the call."""
    plain_close = response.close

    def close(self: Any) -> None:
        plain_close(self)
        if (call := getattr(self, call_slot, None)) is not None:
            call.end(call.span.status)

    for name in ("read", "read1"):
        patches.replace(response, name, _noting(getattr(response, name), call_slot))
    patches.replace(response, "close", close)


def _ending_on_error(call: Outgoing, function: Any, *args: Any, **kwargs: Any) -> Any:
    try:
        return function(*args, **kwargs)
    except BaseException as error:
        call.end("", error)
        raise


def _noting(read: Any, call_slot: str) -> Any:
    """Return a function that reads from a response and records what it reads; the end of the body ends the call."""

    def reading(self: Any, *args: Any, **kwargs: Any) -> Any:
        call: Outgoing | None = getattr(self, call_slot, None)
        if call is None:
            return read(self, *args, **kwargs)
        setattr(self, call_slot, None)  # One read may call others.
        data = _ending_on_error(call, read, self, *args, **kwargs)
        setattr(self, call_slot, call)
        call.span.add_response(data)
        if self.isclosed():
            call.end(call.span.status)
        return data

    return reading
