"""What answers a method: a servicer in this process, or a server behind a channel."""

from __future__ import annotations

import asyncio
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
    """One answer; metadata is what came before (initial) and after it (trailing), in this order."""

    message: Message
    metadata: Metadata = ()


class Backend(Protocol):
    """timeout: in seconds, None for none. Every call may raise StatusError."""

    async def unary(self, method: Method, request: Message, metadata: Metadata, timeout: float | None) -> Reply: ...

    def stream(
        self, method: Method, requests: AsyncIterator[Message], metadata: Metadata, timeout: float | None
    ) -> AsyncGenerator[Message, None]:
        """The answers of a method that streams on either side; closing it cancels the call."""
        ...


class ChannelBackend:
    """Over a grpc.aio channel of the running loop.

    channel: called for every call, so that a channel may be replaced. timeout: of unary calls that bring none, in
    seconds, so that none waits for ever.
    """

    def __init__(self, channel: Callable[[], grpc.aio.Channel], *, timeout: float | None = 60.0) -> None:
        self._channel = channel
        self._timeout = timeout

    async def unary(self, method: Method, request: Message, metadata: Metadata, timeout: float | None) -> Reply:
        call = self._callable(method)(request, metadata=metadata, timeout=self._timeout if timeout is None else timeout)
        try:
            message = await call
            return Reply(message, (*await call.initial_metadata(), *await call.trailing_metadata()))
        except grpc.aio.AioRpcError as error:
            raise status_error(error) from error

    async def stream(
        self, method: Method, requests: AsyncIterator[Message], metadata: Metadata, timeout: float | None
    ) -> AsyncGenerator[Message, None]:
        failures: list[StatusError] = []
        sent = _noting(requests, failures) if method.client_streaming else await anext(requests)
        call = self._callable(method)(sent, metadata=metadata, timeout=timeout)
        try:
            if method.server_streaming:
                async for message in call:
                    yield message
            else:
                yield await call
        except (grpc.aio.AioRpcError, asyncio.CancelledError) as error:
            # grpc cancels a call whose requests fail; what the caller wants to know is why.
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


async def _noting(requests: AsyncIterator[Message], failures: list[StatusError]) -> AsyncIterator[Message]:
    try:
        async for request in requests:
            yield request
    except StatusError as error:
        failures.append(error)
        raise


def status_error(error: grpc.aio.AioRpcError) -> StatusError:
    """The same error in our terms, its details unpacked."""
    code = Code(error.code().value[0])
    # AioRpcError's metadata is iterated as pairs; its stubs do not say so.
    details = details_of_metadata(list(error.trailing_metadata() or ()))
    return StatusError(code, error.details() or "", details)
