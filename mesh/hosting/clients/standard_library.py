"""Records calls through `http.client`, which urllib, urllib3 and requests use."""

from __future__ import annotations

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


def record_http_client(module: ModuleType, patches: Patches, destinations: Destinations) -> None:
    """Record the requests of every `HTTPConnection`."""
    connection, response = module.HTTPConnection, module.HTTPResponse
    put_request, put_header = connection.putrequest, connection.putheader
    end_headers, send, get_response = connection.endheaders, connection.send, connection.getresponse

    # Several meshes of one process have each replaced these methods: each one looks at its requests only.
    slot, call_slot = f"_mesh_request_{id(destinations)}", f"_mesh_call_{id(destinations)}"

    def putrequest(self: Any, method: str, url: str, *args: Any, **kwargs: Any) -> None:
        setattr(self, slot, _Request(method, url) if destinations.is_recorded() else None)
        put_request(self, method, url, *args, **kwargs)

    def putheader(self: Any, header: Any, *values: Any) -> None:
        request: _Request | None = getattr(self, slot, None)
        if request is not None:
            name = header.decode("latin-1") if isinstance(header, bytes) else str(header)
            if name.lower() == "traceparent" and values:
                value = values[0]
                request.given = value.decode("latin-1") if isinstance(value, bytes) else str(value)
                return  # Written at the end of the headers.
            request.is_chunked = request.is_chunked or name.lower() == "transfer-encoding"
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

    def sending(self: Any, data: Any) -> None:
        request: _Request | None = getattr(self, slot, None)
        if request is None or request.call is None:
            send(self, data)
            return
        if request.sent_headers and not request.is_chunked and isinstance(data, (bytes, bytearray, memoryview)):
            request.call.span.add_request(bytes(data))
        request.sent_headers = True
        _ending_on_error(request.call, send, self, data)

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

    for name, function in (
        ("putrequest", putrequest),
        ("putheader", putheader),
        ("endheaders", endheaders),
        ("send", sending),
        ("getresponse", getresponse),
    ):
        patches.replace(connection, name, function)
    for name in ("read", "read1"):
        patches.replace(response, name, _noting(getattr(response, name), call_slot))
    close = response.close

    def closing(self: Any) -> None:
        close(self)
        if (call := getattr(self, call_slot, None)) is not None:
            call.end(call.span.status)

    patches.replace(response, "close", closing)


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
