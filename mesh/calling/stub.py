"""A synchronous stub made from a contract, without generated code."""

from __future__ import annotations

from typing import Any

import grpc

from mesh.contract import Contract, Method


class Stub:
    """Provides each method as an attribute, called with a message or its fields: `stub.GetUser(id=1)`.

    It returns and raises what grpc does: `grpc.RpcError`, an iterator for a streamed answer.
    """

    def __init__(self, channel: grpc.Channel, contract: Contract) -> None:
        for method in contract:
            setattr(self, method.name, _callable(channel, method))


class _Unary:
    """A method that takes one message: as an object, or as its fields."""

    def __init__(self, call: Any, method: Method) -> None:
        self._call = call
        self._method = method

    def __call__(self, request: Any = None, /, *, timeout: float = 10.0, metadata: Any = None, **fields: Any) -> Any:
        return self._call(self._message(request, fields), timeout=timeout, metadata=metadata)

    def with_call(self, request: Any = None, /, *, timeout: float = 10.0, metadata: Any = None, **fields: Any) -> Any:
        """Return the answer with its call, for code and trailing metadata."""
        return self._call.with_call(self._message(request, fields), timeout=timeout, metadata=metadata)

    def _message(self, request: Any, fields: dict[str, Any]) -> Any:
        return self._method.request_class(**fields) if request is None else request


def _callable(channel: grpc.Channel, method: Method) -> Any:
    sends = "stream" if method.client_streaming else "unary"
    answers = "stream" if method.server_streaming else "unary"
    call = getattr(channel, f"{sends}_{answers}")(
        method.path,
        # A caller's generated class may come from another pool than the contract's.
        request_serializer=lambda message: message.SerializeToString(),
        response_deserializer=method.response_class.FromString,
    )
    return call if method.client_streaming else _Unary(call, method)
