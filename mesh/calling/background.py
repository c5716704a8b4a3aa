"""An event loop in a separate thread, which makes the calls of plain code and of short-lived loops."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from concurrent.futures import CancelledError, Future
from typing import Any, TypeVar

from mesh.calling.connections import Connections
from mesh.errors import Code, StatusError

T = TypeVar("T")

CLOSE_SECONDS = 1.0


class Background:
    """Runs coroutines for other threads, in the context of the caller, until it is closed."""

    def __init__(self) -> None:
        self.connections = Connections()
        self._started = threading.Event()
        self._loop: asyncio.AbstractEventLoop
        self._closing: asyncio.Event
        self._thread = threading.Thread(target=lambda: asyncio.run(self._live()), name="mesh-calls", daemon=True)
        self._thread.start()
        self._started.wait()

    async def _live(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._closing = asyncio.Event()
        self.connections.belong_to_this_loop()
        self._started.set()
        await self._closing.wait()
        # asyncio.run cancels what still runs when this returns.
        await self.connections.close()

    def wait_for(self, work: Coroutine[Any, Any, T]) -> T:
        """Return the result of `work`, waiting for it in this thread, in which no loop may be running."""
        future = self._submit(work)
        try:
            return future.result()
        except CancelledError:
            raise StatusError(Code.CANCELLED, "the service stopped before the call ended") from None
        finally:
            future.cancel()

    async def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Return the result of `work`, awaited from another loop; cancelled with the task that awaits it."""
        return await asyncio.wrap_future(self._submit(work))

    def _submit(self, work: Coroutine[Any, Any, T]) -> Future[T]:
        # call_soon_threadsafe copies the context, so the call belongs to the caller's service and current call.
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    def close(self) -> None:
        """Close the connections and cancel the calls that have not ended.

        Waits for the thread only briefly: a blocking iterator of requests must not delay the stop of a service.
        """
        self._loop.call_soon_threadsafe(self._closing.set)
        self._thread.join(CLOSE_SECONDS)
