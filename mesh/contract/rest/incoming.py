"""A request's body as it arrives, and the notice that the client has left."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable
from typing import TypeVar

from starlette.types import Receive

from mesh.contract.protojson.body import too_large
from mesh.errors import Code, StatusError

T = TypeVar("T")

#: Chunks held until they are read.
_CHUNKS_AHEAD = 8


class Incoming:
    """A request's body in chunks as they arrive, and the client's leaving, whichever is first."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._chunks: asyncio.Queue[bytes | None] = asyncio.Queue(_CHUNKS_AHEAD)

    async def pump(self) -> None:
        """Read the body until the client leaves."""
        more = True
        while True:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                return
            if more:
                await self._chunks.put(message.get("body", b""))
                more = message.get("more_body", False)
                if not more:
                    await self._chunks.put(None)

    async def chunks(self) -> AsyncIterator[bytes]:
        while (chunk := await self._chunks.get()) is not None:
            if chunk:
                yield chunk

    async def lines(self, limit: int) -> AsyncIterator[bytes]:
        """Yield the lines that are not blank; raises StatusError 413 for one of more than `limit` bytes."""
        rest = b""
        async for chunk in self.chunks():
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                if len(line) > limit:
                    raise too_large(limit)
                if line and not line.isspace():
                    yield line
            if len(rest) > limit:
                raise too_large(limit)
        if rest and not rest.isspace():
            yield rest


async def until_gone(incoming: Incoming, work: Awaitable[T]) -> T:
    """Do the work, or cancel it and raise StatusError CANCELLED if the client leaves first."""
    pump = asyncio.ensure_future(incoming.pump())
    task = asyncio.ensure_future(work)
    try:
        await asyncio.wait({pump, task}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise StatusError(Code.CANCELLED, "the client left before the end of the call")
        return await task
    finally:
        pump.cancel()
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.gather(pump, task, return_exceptions=True)
