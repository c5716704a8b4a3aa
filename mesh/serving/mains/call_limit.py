"""The number of calls that a program's gRPC server takes at once."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator, Iterator
from typing import Any

import grpc

from mesh.contract.servicers import Handler, behavior, is_async
from mesh.serving.mains.grpc_methods import with_behavior

_REFUSAL = grpc.StatusCode.RESOURCE_EXHAUSTED, "Concurrent RPC limit exceeded!"


class CallLimit:
    """Refuses calls beyond a number as grpcio does with `maximum_concurrent_rpcs`; counts those of all methods."""

    def __init__(self, most: int) -> None:
        self._free = threading.Semaphore(most)

    def limited(self, handler: Handler) -> Handler:
        """Return the method within the limit."""
        inner = behavior(handler)

        def single(request: Any, context: Any) -> Any:
            if not self._free.acquire(blocking=False):
                context.abort(*_REFUSAL)
            try:
                return inner(request, context)
            finally:
                self._free.release()

        def stream(request: Any, context: Any) -> Iterator[Any]:
            if not self._free.acquire(blocking=False):
                context.abort(*_REFUSAL)
            try:
                yield from inner(request, context)
            finally:
                self._free.release()

        async def aio_single(request: Any, context: Any) -> Any:
            if not self._free.acquire(blocking=False):
                await context.abort(*_REFUSAL)
            try:
                return await inner(request, context)
            finally:
                self._free.release()

        async def aio_stream(request: Any, context: Any) -> AsyncIterator[Any]:
            if not self._free.acquire(blocking=False):
                await context.abort(*_REFUSAL)
            try:
                async for answer in inner(request, context):
                    yield answer
            finally:
                self._free.release()

        if is_async(handler):
            return with_behavior(handler, aio_stream if handler.response_streaming else aio_single)
        return with_behavior(handler, stream if handler.response_streaming else single)
