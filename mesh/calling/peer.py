"""A service as its callers see it: its methods, asked over gRPC first and over HTTP where gRPC fails."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from google.protobuf.message import Message

from mesh.calling.contracts import contract_of
from mesh.calling.fallback import Fallback
from mesh.context import current_call
from mesh.contract import Contract, Method
from mesh.service import ServiceContext, current_service

#: Seconds that all tries of a call get together, where neither the call nor the peer says otherwise.
TIMEOUT = 5.0


class Peer:
    """`await Peer("user-service").GetUser(id=1)` is the answer's message, or a StatusError is raised.

    Each unary method of the service's contract is an attribute that takes a request message, or its fields by name, and
    beside them `timeout` (seconds for all tries together; the deadline of the call in hand ends them sooner) and
    `idempotency_key` (with one, a write too may be asked a second way).

    Made once, at import; the connections belong to the service that calls.
    """

    def __init__(self, service: str, *, timeout: float = TIMEOUT) -> None:
        self.service = service
        self.timeout = timeout
        self._contract: Contract | None = None

    def __getattr__(self, name: str) -> Callable[..., Awaitable[Any]]:
        if name.startswith("_"):
            raise AttributeError(name)

        async def ask(
            request: Message | None = None,
            /,
            *,
            timeout: float | None = None,
            idempotency_key: str | None = None,
            **fields: Any,
        ) -> Any:
            caller = current_service()
            method = self._method(name, caller)
            metadata = [("idempotency-key", idempotency_key)] if idempotency_key else []
            ways = Fallback(self.service, caller)
            reply = await ways.unary(method, _message(method, request, fields), metadata, self._seconds(timeout))
            return reply.message

        return ask

    def _method(self, name: str, caller: ServiceContext) -> Method:
        if self._contract is None:
            self._contract = contract_of(self.service, caller.directory)
        if name not in self._contract:
            known = ", ".join(method.name for method in self._contract)
            raise AttributeError(f"{self.service} has no method {name!r}; there are {known}")
        return self._contract[name]

    def _seconds(self, timeout: float | None) -> float:
        call = current_call.get()
        remaining = call.remaining() if call else None
        wanted = self.timeout if timeout is None else timeout
        return wanted if remaining is None else min(wanted, remaining)


def _message(method: Method, request: Message | None, fields: dict[str, Any]) -> Message:
    """The request as a message of the contract's own class; a caller's generated class may come from another pool."""
    if request is None:
        return method.request_class(**fields)
    if isinstance(request, method.request_class):
        return request
    return method.request_class.FromString(request.SerializeToString())
