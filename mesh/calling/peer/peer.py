"""The methods of a service as awaitable attributes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import aclosing
from functools import cached_property
from typing import TYPE_CHECKING, Any

from google.protobuf.message import Message
from msgspec import Struct

from mesh.calling.connections import Connections, current_connections
from mesh.calling.contract_lookup import contract_of
from mesh.calling.peer.fallback import Fallback
from mesh.calling.peer.interceptors import OutgoingCall
from mesh.calling.peer.options import CallOptions, PeerOptions
from mesh.calling.peer.requests import forwarded, message_of, messages_of, split
from mesh.calling.peer.stream import Run, Stream
from mesh.calling.peer.stubs import contract_of_stub, service_of
from mesh.context import current_call
from mesh.contract import Contract, Method, Reply
from mesh.contract.backends.backend import Frame, Headers, Trailers
from mesh.errors import Code, MeshError, StatusError, UsageError
from mesh.service import ServiceContext, current_service
from mesh.suggestions import no_such
from mesh.topology.model import Address

if TYPE_CHECKING:
    from mesh.calling.peer.sync import BlockingPeer


class AsyncPeer:
    """`await peer.GetUser(id=1)` returns the answer's message, or raises StatusError.

    Each method of the service's contract is an attribute. It takes a request message, a dict of fields, or fields by
    name; and the options of CallOptions.
    """

    def __init__(
        self, target: str | Callable[[Any], Any], *, service: str | None = None, at: str | None = None, **options: Any
    ) -> None:
        if isinstance(target, str) and (service or at):
            raise UsageError(f"Peer({target!r}) names its service; service= and at= need a generated stub class")
        self._stub = None if isinstance(target, str) else target
        self._service = target if isinstance(target, str) else service
        self._at = _address(at) if at else None
        self._options = PeerOptions(**options)

    def __getattr__(self, name: str) -> PeerMethod:
        if name.startswith("_"):
            raise AttributeError(name)
        return PeerMethod(self, name)

    @property
    def sync(self) -> BlockingPeer:
        """Return the same methods for plain code, such as Flask views, synchronous servicers and threads."""
        from mesh.calling.peer.sync import BlockingPeer  # it imports this module

        return BlockingPeer(self)

    @cached_property
    def _stub_contract(self) -> Contract:
        assert self._stub is not None
        return contract_of_stub(self._stub)

    def prepare(self, name: str, request: object, given: dict[str, Any]) -> PreparedCall:
        """Return the call of a method after checking everything that the caller can get wrong.

        Raises UsageError for such a mistake, MeshError outside of a service.
        """
        caller, connections = current_service(), current_connections()
        if connections is None:
            raise MeshError("a Peer works inside a service that mesh runs")
        method, service = self._find(name, caller)
        wanted, options = split(method, request, given)
        if not method.client_streaming:
            wanted = message_of(method, wanted)
        carried = dict.fromkeys(name for name, _ in options.pairs())
        metadata = [pair for pair in forwarded(current_call.get(), self._options.forward) if pair[0] not in carried]
        call = OutgoingCall(
            service, method, "grpc", wanted, [*metadata, *options.pairs()], self._seconds(method, options.timeout)
        )
        return PreparedCall(call, caller, connections, self._options, options, self._at)

    def _find(self, name: str, caller: ServiceContext) -> tuple[Method, str]:
        """Return the method, and the name of the service to call."""
        if self._stub is None:
            service = self._service or ""
            contract = contract_of(service, caller.directory)
        else:
            contract = self._stub_contract
            service = str(self._at or self._service or service_of(contract, caller.directory))
        if name not in contract:
            raise AttributeError(f"{service}: {no_such('method', name, [method.name for method in contract])}")
        return contract[name], service

    def _seconds(self, method: Method, timeout: float | None) -> float | None:
        """Return the seconds that the call may take; None for a stream without a limit."""
        call = current_call.get()
        remaining = call.remaining() if call else None
        wanted = self._options.timeout if timeout is None and not method.streaming else timeout
        return min((each for each in (wanted, remaining) if each is not None), default=None)


class PeerMethod:
    """One method of a peer."""

    def __init__(self, peer: AsyncPeer, name: str) -> None:
        self._peer = peer
        self._name = name

    def __call__(self, request: Any = None, /, **given: Any) -> Any:
        """Return the answer, to be awaited; a Stream if the method streams its answer."""
        prepared = self._peer.prepare(self._name, request, given)
        if prepared.call.method.server_streaming:
            return Stream(prepared.open)
        return prepared.message()

    def with_reply(self, request: Any = None, /, **given: Any) -> Coroutine[Any, Any, Reply]:
        """Return the answer with its initial and trailing metadata, to be awaited."""
        return self._peer.prepare(self._name, request, given).reply_here()


class PreparedCall(Struct, frozen=True):
    """A call that has been checked but not made."""

    call: OutgoingCall
    caller: ServiceContext
    connections: Connections
    options: PeerOptions
    call_options: CallOptions
    at: Address | None

    def _here(self) -> tuple[Connections, Run]:
        """Return the connections for the running loop, and a function that runs work in their loop."""
        if self.connections.are_of_this_loop():
            return self.connections, _as_it_is
        background = self.connections.background()
        return background.connections, background.run

    async def message(self) -> Message:
        return (await self.reply_here()).message

    async def reply_here(self) -> Reply:
        connections, run = self._here()
        reply: Reply = await run(self.reply(connections, asyncio.get_running_loop()))
        return reply

    def open(self) -> tuple[AsyncGenerator[Frame, None], Run]:
        """Return the frames of the stream, for the running loop, and a function that runs work in the call's loop."""
        connections, run = self._here()
        return self.frames(connections, asyncio.get_running_loop()), run

    async def reply(self, connections: Connections, loop: asyncio.AbstractEventLoop | None) -> Reply:
        """Make the call, in the loop of the connections. loop: that of the caller; None for plain code."""
        if self.call.method.server_streaming:
            raise UsageError(f"{self.call.method} answers with a stream; read the metadata from the stream")
        if not self.call.method.client_streaming:
            return await self._fallback(connections).unary(self.call)
        initial, message, trailing = None, None, None
        async with aclosing(self.frames(connections, loop)) as frames:
            async for frame in frames:
                if isinstance(frame, Headers):
                    initial = frame.metadata
                elif isinstance(frame, Trailers):
                    trailing = frame.metadata
                else:
                    message = frame
        if message is None:
            raise StatusError(Code.INTERNAL, f"{self.call.method} gave no answer")
        return Reply(message, initial or (), trailing or ())

    async def frames(
        self, connections: Connections, loop: asyncio.AbstractEventLoop | None
    ) -> AsyncGenerator[Frame, None]:
        """Make a call that streams in either direction; see `reply`."""
        call = self.call
        if call.method.client_streaming:
            call.request = messages_of(call.method, call.request, loop)
        async with aclosing(self._fallback(connections).frames(call)) as frames:
            async for frame in frames:
                yield frame

    def _fallback(self, connections: Connections) -> Fallback:
        return Fallback(self.caller, connections, self.options, self.call_options, self.at)


async def _as_it_is(work: Coroutine[Any, Any, Any]) -> Any:
    return await work


def _address(text: str) -> Address:
    try:
        return Address.parse(text)
    except ValueError as error:
        raise UsageError(f"Peer(at={text!r}): {error}") from None
