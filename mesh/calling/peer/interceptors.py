"""The caller's interceptors: code that surrounds every attempt of a call, over either transport."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager

from google.protobuf.message import Message
from msgspec import Struct

from mesh.contract import Method
from mesh.topology.model import Kind


class OutgoingCall(Struct):
    """One attempt of a call, as an interceptor sees it before it is made.

    request: the message, or the iterator of a method that takes a stream. timeout: in seconds, None for none. An
    interceptor may change `metadata` and `timeout`.
    """

    service: str
    method: Method
    transport: Kind
    request: Message | AsyncIterator[Message]
    metadata: list[tuple[str, str | bytes]]
    timeout: float | None


#: An asynchronous context manager around one attempt; the attempt's error is raised in it.
Interceptor = Callable[[OutgoingCall], AbstractAsyncContextManager[None]]


@asynccontextmanager
async def intercepted(call: OutgoingCall, interceptors: Sequence[Interceptor]) -> AsyncIterator[None]:
    """Enter every interceptor, the first one outermost."""
    async with AsyncExitStack() as stack:
        for interceptor in interceptors:
            await stack.enter_async_context(interceptor(call))
        yield
