"""Implementations behind a method: a servicer in this process, or a server behind a channel."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from typing import Any, NamedTuple, Protocol

import grpc
import grpc.aio
from google.protobuf.message import Message

from mesh.contract.methods import Method
from mesh.contract.status import details_of_metadata
from mesh.errors import Code, StatusError

Metadata = Sequence[tuple[str, str | bytes]]


class Reply(NamedTuple):
    """One message, with the initial and trailing metadata."""

    message: Message
    initial_metadata: Metadata = ()
    trailing_metadata: Metadata = ()

    @property
    def metadata(self) -> Metadata:
        """Return initial and trailing metadata, in this order."""
        return (*self.initial_metadata, *self.trailing_metadata)


class Headers(NamedTuple):
    """The initial metadata of a stream."""

    metadata: Metadata


class Trailers(NamedTuple):
    """The trailing metadata of a stream that ended with OK."""

    metadata: Metadata


Frame = Message | Headers | Trailers


class Backend(Protocol):
    """Executes the calls of a contract. timeout: in seconds, None for none. Every call may raise StatusError."""

    async def unary(self, method: Method, request: Message, metadata: Metadata, timeout: float | None) -> Reply: ...

    def stream(
        self, method: Method, requests: AsyncIterator[Message], metadata: Metadata, timeout: float | None
    ) -> AsyncGenerator[Message, None]:
        """Yield the answers of a method that streams in either direction; closing it cancels the call."""
        ...


class ChannelBackend:
    """Calls over a grpc.aio channel of the running loop.

    channel: called for every call, so that a channel may be replaced. timeout: of unary calls that have none, in
    seconds, so that none waits without limit. call_options: passed to grpc with every call, such as `wait_for_ready`.
    """

    def __init__(
        self, channel: Callable[[], grpc.aio.Channel], *, timeout: float | None = 60.0, **call_options: Any
    ) -> None:
        self._channel = channel
        self._timeout = timeout
        self._call_options = call_options

    async def unary(self, method: Method, request: Message, metadata: Metadata, timeout: float | None) -> Reply:
        limit = self._timeout if timeout is None else timeout
        call = self._callable(method)(request, metadata=metadata, timeout=limit, **self._call_options)
        try:
            message = await call
            return Reply(message, tuple(await call.initial_metadata()), tuple(await call.trailing_metadata()))
        except grpc.aio.AioRpcError as error:
            raise status_error(error) from error

    async def stream(
        self, method: Method, requests: AsyncIterator[Message], metadata: Metadata, timeout: float | None
    ) -> AsyncGenerator[Message, None]:
        async with contextlib.aclosing(self.frames(method, requests, metadata, timeout)) as frames:
            async for frame in frames:
                if isinstance(frame, Message):
                    yield frame

    async def frames(
        self, method: Method, requests: AsyncIterator[Message], metadata: Metadata, timeout: float | None
    ) -> AsyncGenerator[Frame, None]:
        """Yield the parts of a streamed answer: its headers, its messages, its trailers."""
        failures: list[Exception] = []
        sent = _noting(requests, failures) if method.client_streaming else await anext(requests)
        call = self._callable(method)(sent, metadata=metadata, timeout=timeout, **self._call_options)
        try:
            yield Headers(tuple(await call.initial_metadata()))
            if method.server_streaming:
                async for message in call:
                    yield message
            else:
                yield await call
            yield Trailers(tuple(await call.trailing_metadata()))
        except (grpc.aio.AioRpcError, asyncio.CancelledError) as error:
            # grpc cancels a call whose requests fail; the caller needs the reason.
            if failures:
                raise failures[0] from None
            if isinstance(error, asyncio.CancelledError):
                raise
            raise status_error(error) from error
        finally:
            call.cancel()

    def _callable(self, method: Method) -> Any:
        kind = f"{'stream' if method.client_streaming else 'unary'}_{'stream' if method.server_streaming else 'unary'}"
        return getattr(self._channel(), kind)(
            method.path,
            request_serializer=method.request_class.SerializeToString,
            response_deserializer=method.response_class.FromString,
        )


async def _noting(requests: AsyncIterator[Message], failures: list[Exception]) -> AsyncIterator[Message]:
    try:
        async for request in requests:
            yield request
    except Exception as error:
        failures.append(error)
        raise


def status_error(error: grpc.aio.AioRpcError) -> StatusError:
    """Return the same error as a StatusError, its details unpacked."""
    code = Code(error.code().value[0])
    # AioRpcError's metadata is iterated as pairs, which its stubs do not say.
    trailing = tuple(error.trailing_metadata() or ())
    return StatusError(code, error.details() or "", details_of_metadata(trailing), metadata=trailing)
