"""The reads of a contract, made over gRPC and over HTTP, and the differences between the answers."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

from google.protobuf import json_format
from google.protobuf.message import Message
from msgspec import Struct
from msgspec.structs import asdict

from mesh.calling.reflected import Reflected
from mesh.contract import Method
from mesh.contract.rest.client import HttpCall, http_call
from mesh.contract.rest.transcoding import JSON, Endpoint, write_json
from mesh.contract.status import error_headers, status_json
from mesh.errors import StatusError
from mesh.sockets import LocalConnection
from mesh.topology.model import Address

TIMEOUT = 10.0
#: How many items of a list are read one by one.
SAMPLES = 3
_HEADERS = ("content-type", "retry-after", "allow")
#: Differs between any two answers that report a bug.
_REQUEST_ID = re.compile(r"\(request [0-9a-f]+\)")


class Compared(Struct, frozen=True):
    """One read made both ways. differences: a line each, `what: over gRPC != over HTTP`."""

    service: str
    method: str
    request: str
    code: str
    grpc_milliseconds: float
    http_milliseconds: float
    differences: tuple[str, ...]

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


class CallResult(Struct, frozen=True):
    """An HTTP answer, or the one that a gRPC answer corresponds to."""

    status: int
    headers: dict[str, str]
    body: Any


def compare(
    service: str, http_at: Address, grpc_at: Address, given: Mapping[str, str], tls: bool = False
) -> Iterator[Compared]:
    """Yield each read of the contract that the service's gRPC listener reflects, compared.

    Requests are made from the items of its lists. given: JSON requests by method name, used instead. tls: the HTTP
    listener speaks it. Raises MeshError if the gRPC listener does not answer.
    """
    with Reflected(grpc_at) as reflected:
        contract = reflected.contract()
        reads = [method for method in contract if method.bindings and method.idempotent and not method.streaming]
        known: list[Message] = []
        # Lists first: their items provide the requests of the others.
        for method in sorted(reads, key=_variables):
            asked = [_parsed(method, given[method.name])] if method.name in given else _requests(method, known)
            for request in asked:
                compared, message = _compare(service, method, request, reflected, partial(_get, http_at, tls=tls))
                known += _held(message) if message is not None else []
                yield compared


def _compare(
    service: str, method: Method, request: Message, reflected: Reflected, get: Callable[[HttpCall], CallResult]
) -> tuple[Compared, Message | None]:
    call = http_call(method, request)
    message: Message | None = None
    started = time.perf_counter()
    try:
        message = reflected.ask(method, request, TIMEOUT)
        over_grpc, code = _shown(call, message), "OK"
    except StatusError as error:
        over_grpc, code = _refused(error), error.code.name
    between = time.perf_counter()
    over_http = get(call)
    ended = time.perf_counter()
    text = write_json(json_format.MessageToDict(request))
    differences = tuple(_differences(over_grpc, over_http))
    times = (between - started) * 1000, (ended - between) * 1000
    return Compared(service, method.name, text, code, *times, differences), message


def _differences(over_grpc: CallResult, over_http: CallResult) -> Iterator[str]:
    if over_grpc.status != over_http.status:
        yield f"status: {over_grpc.status} != {over_http.status}"
    for name in _HEADERS:
        if over_grpc.headers.get(name) != over_http.headers.get(name):
            yield f"{name}: {over_grpc.headers.get(name)} != {over_http.headers.get(name)}"
    if over_grpc.body != over_http.body:
        yield f"body: {json.dumps(over_grpc.body)} != {json.dumps(over_http.body)}"


def _shown(call: HttpCall, message: Message) -> CallResult:
    """Return the HTTP answer that this message corresponds to."""
    body, content_type = Endpoint(call.method, call.binding).response(message)
    return CallResult(200, {"content-type": content_type}, _read(body, content_type))


def _refused(error: StatusError) -> CallResult:
    headers = {"content-type": JSON}
    headers.update((name.decode(), value.decode()) for name, value in error_headers(error))
    return CallResult(error.http_status, headers, _read(write_json(status_json(error)).encode(), JSON))


def _get(address: Address, call: HttpCall, tls: bool) -> CallResult:
    connection = LocalConnection(address.host, address.port, TIMEOUT, tls)
    try:
        connection.request(call.http_method, call.target, call.body)
        with connection.getresponse() as response:
            headers = {name: value for name in _HEADERS if (value := response.getheader(name)) is not None}
            return CallResult(response.status, headers, _read(response.read(), headers.get("content-type", "")))
    except OSError as error:
        return CallResult(0, {}, f"no answer over HTTP: {error}")
    finally:
        connection.close()


def _read(body: bytes, content_type: str) -> Any:
    text = _REQUEST_ID.sub("(request)", body.decode("utf-8", "replace"))
    if not content_type.startswith(JSON):
        return text
    try:
        return json.loads(text)
    except ValueError:
        return text


def _variables(method: Method) -> int:
    return len(method.bindings[0].template.variables)


def _requests(method: Method, known: list[Message]) -> Iterator[Message]:
    """Return requests for a read: one for each listed item, if the read returns such items; else an empty one."""
    names = [variable.path for variable in method.bindings[0].template.variables]
    wanted = method.response_class.DESCRIPTOR.full_name
    found = [each for each in known if each.DESCRIPTOR.full_name == wanted][:SAMPLES]
    if not names or not found or any(len(path) != 1 for path in names):
        yield method.request_class()
        return
    for each in found:
        fields = {path[0]: getattr(each, path[0]) for path in names if path[0] in each.DESCRIPTOR.fields_by_name}
        yield method.request_class(**fields)
    yield method.request_class()  # an unknown one: both transports must answer alike


def _held(message: Message) -> list[Message]:
    """Return the messages in the answer's repeated fields."""
    return [item for field, value in message.ListFields() if field.is_repeated and field.message_type for item in value]


def _parsed(method: Method, text: str) -> Message:
    message: Message = json_format.Parse(text, method.request_class())
    return message
