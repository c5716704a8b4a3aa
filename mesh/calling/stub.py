"""A synchronous stub made from a contract, without generated code."""

from __future__ import annotations

from typing import Any, Protocol

import grpc

from mesh.contract import Contract, Method
from mesh.suggestions import no_such


class StubMethod(Protocol):
    """A method of a Stub: called with a message or its fields, or with an iterator if it takes a client's stream.

    given: the fields, and as for any stub `timeout` (seconds) and `metadata`.
    """

    def __call__(self, request: Any = None, /, **given: Any) -> Any: ...

    def with_call(self, request: Any = None, /, **given: Any) -> tuple[Any, grpc.Call]:
        """Return the answer with its call, for code and trailing metadata."""
        ...


class Stub:
    """Provides each method as an attribute, called with a message or its fields: `stub.GetUser(id=1)`.

    It returns and raises what grpc does: `grpc.RpcError`, an iterator for a streamed answer. An attribute that is no
    method raises AttributeError, which names the nearest one.
    """

    def __init__(self, channel: grpc.Channel, contract: Contract) -> None:
        for method in contract:
            setattr(self, method.name, _callable(channel, method))

    def __getattr__(self, name: str) -> StubMethod:
        raise AttributeError(no_such("method", name, vars(self)))


class _Unary:
    """A method that takes one message: as an object, or as its fields."""

    def __init__(self, call: Any, method: Method) -> None:
        self._call = call
        self._method = method

    def __call__(self, request: Any = None, /, *, timeout: float = 10.0, metadata: Any = None, **fields: Any) -> Any:
        return self._call(self._message(request, fields), timeout=timeout, metadata=metadata)

    def with_call(
        self, request: Any = None, /, *, timeout: float = 10.0, metadata: Any = None, **fields: Any
    ) -> tuple[Any, grpc.Call]:
        answer, call = self._call.with_call(self._message(request, fields), timeout=timeout, metadata=metadata)
        return answer, call

    def _message(self, request: Any, fields: dict[str, Any]) -> Any:
        return self._method.request_class(**fields) if request is None else request


def _callable(channel: grpc.Channel, method: Method) -> StubMethod:
    sends = "stream" if method.client_streaming else "unary"
    answers = "stream" if method.server_streaming else "unary"
    call: StubMethod = getattr(channel, f"{sends}_{answers}")(
        method.path,
        # A caller's generated class may come from another pool than the contract's.
        request_serializer=lambda message: message.SerializeToString(),
        response_deserializer=method.response_class.FromString,
    )
    return call if method.client_streaming else _Unary(call, method)
