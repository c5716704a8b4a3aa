"""A gRPC server's contract, learned from its reflection service: calls without stubs, JSON in and out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Any

import grpc
from google.protobuf import descriptor_pool, json_format
from google.protobuf.descriptor import ServiceDescriptor
from google.protobuf.message import Message

from mesh.calling.local_tls import channel_to
from mesh.contract import Contract, Method, parse_json
from mesh.errors import Code, MeshError, StatusError, UsageError
from mesh.suggestions import did_you_mean
from mesh.topology.model import Address


class Reflected:
    """A channel to `address` for the time of a `with`.

    within: seconds that its reflection service gets to answer. described: called where it has none, returns its
    services.
    """

    def __init__(
        self,
        address: Address,
        within: float = 10.0,
        described: Callable[[], Iterable[ServiceDescriptor]] = lambda: (),
    ) -> None:
        self._address = address
        self._within = within
        self._described = described
        self._channel = channel_to(address)

    def __enter__(self) -> Reflected:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._channel.close()

    def call(
        self, name: str, request: bytes, timeout: float, metadata: Mapping[str, str] = MappingProxyType({})
    ) -> Iterator[Any]:
        """Yield the answers of one call, each as the JSON value of its message.

        name: `GetUser`, `UserService.GetUser`, or in full with a dot or a slash. request: JSON, a list of messages for
        a method that takes a stream. Raises UsageError for an unknown method or an invalid request, and
        StatusError with the server's error.
        """
        try:
            method = self._method(name)
            requests = _requests(method, request)
            for answer in self._answers(method, requests, timeout, metadata):
                yield json_format.MessageToDict(answer, always_print_fields_with_no_presence=True)
        except grpc.RpcError as error:
            raise _translated(error) from None

    def _answers(
        self,
        method: Method,
        requests: list[Any],
        timeout: float,
        metadata: Mapping[str, str] = MappingProxyType({}),
    ) -> Iterator[Any]:
        sends = "stream" if method.client_streaming else "unary"
        answers = "stream" if method.server_streaming else "unary"
        call = getattr(self._channel, f"{sends}_{answers}")(
            method.path,
            request_serializer=method.request_class.SerializeToString,
            response_deserializer=method.response_class.FromString,
        )
        given = iter(requests) if method.client_streaming else requests[0]
        answer = call(given, timeout=timeout, metadata=tuple(metadata.items()))
        yield from answer if method.server_streaming else [answer]

    def contract(self) -> Contract:
        """Return every service that the server reflects, except gRPC's own; raises as `call` does."""
        try:
            return Contract.of(self._services())
        except grpc.RpcError as error:
            raise _translated(error) from None

    def ask(self, method: Method, request: Message, timeout: float) -> Message:
        """Return the answer of a unary method; raises StatusError with the server's error."""
        try:
            answer: Message = next(self._answers(method, [request], timeout))
        except grpc.RpcError as error:
            raise _translated(error) from None
        return answer

    def _services(self) -> list[ServiceDescriptor]:
        from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

        database = ProtoReflectionDescriptorDatabase(grpc.intercept_channel(self._channel, _Within(self._within)))
        pool = descriptor_pool.DescriptorPool(database)
        try:
            names = [each for each in database.get_services() if not each.startswith("grpc.")]
        except grpc.RpcError as error:
            if error.code() is not grpc.StatusCode.UNIMPLEMENTED:
                raise
            if described := list(self._described()):
                return described
            raise MeshError(
                f"{self._address} has no reflection service to learn its methods from, and no .proto of the topology "
                "describes them"
            ) from None
        return [pool.FindServiceByName(each) for each in names]

    def _method(self, name: str) -> Method:
        methods = {method.full_name: method for service in self._services() for method in service.methods}
        wanted = name.strip("/").replace("/", ".")
        found = [full for full in methods if full == wanted or full.endswith(f".{wanted}")]
        if len(found) != 1:
            which = "more than one" if found else "no"
            hint = did_you_mean(wanted, [each.name for each in methods.values()]) or ";"
            raise UsageError(f"{self._address} has {which} method {name!r}{hint} known methods: {', '.join(methods)}")
        return Method.of(methods[found[0]])


class _Within(grpc.StreamStreamClientInterceptor):
    """Sets a deadline on calls to a reflection service, which would otherwise wait without limit."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    def intercept_stream_stream(self, continuation: Any, details: Any, requests: Any) -> Any:
        return continuation(details._replace(timeout=self._seconds), requests)


def _translated(error: grpc.RpcError) -> StatusError:
    return StatusError(Code(error.code().value[0]), error.details() or "")


def _requests(method: Method, request: bytes) -> list[Any]:
    """Return the messages that the JSON describes; raises UsageError for JSON that does not fit the method."""
    try:
        content = parse_json(request)
    except StatusError as error:
        raise UsageError(f"{method.name}: {error.message}") from None
    if method.client_streaming and not isinstance(content, list):
        raise UsageError(f"{method.name} takes a stream of messages: give a JSON list")
    messages = content if method.client_streaming else [content]
    return [_message(method, each) for each in messages]


def _message(method: Method, content: Any) -> Any:
    fields = ", ".join(field.json_name for field in method.request_class.DESCRIPTOR.fields)
    if not isinstance(content, dict):
        raise UsageError(f"{method.name}: a message is a JSON object of {fields or 'no fields'}, not {content!r:.40}")
    try:
        return json_format.ParseDict(content, method.request_class())
    except json_format.ParseError as error:
        # The second line of its text lists the fields in Python's notation.
        problem = str(error).splitlines()[0].rstrip(".")
        raise UsageError(f"{method.name}: {problem}; its fields are {fields}") from None
