"""Calls code that belongs to one event loop from another: a program's application, from the listener's loop."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from concurrent.futures import Executor
from functools import partial
from typing import Any, TypeVar

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mesh.errors import Code, StatusError

T = TypeVar("T")


class _ExitError(Exception):
    """Carries a SystemExit out of a loop that would end with it, as the program's own server catches it."""

    def __init__(self, raised: SystemExit) -> None:
        super().__init__(raised)
        self.raised = raised


async def run_in(loop: asyncio.AbstractEventLoop, function: Callable[..., Awaitable[T]], *args: Any) -> T:
    """Await the function in that loop, in the context of the caller; a cancellation reaches it there.

    Raises StatusError UNAVAILABLE if the loop has ended.
    """
    try:
        return await _run_in(loop, function, *args)
    except _ExitError as carried:
        raise carried.raised from None


async def _run_in(loop: asyncio.AbstractEventLoop, function: Callable[..., Awaitable[T]], *args: Any) -> T:
    """Do the same; raises _ExitError for a SystemExit, with which a task would end its loop."""
    if loop is asyncio.get_running_loop():
        return await _awaited(function, *args)
    work = _awaited(function, *args)
    try:
        outcome = asyncio.run_coroutine_threadsafe(work, loop)
    except RuntimeError as error:
        work.close()
        raise StatusError(Code.UNAVAILABLE, "its program has ended") from error
    return await asyncio.wrap_future(outcome)


async def _awaited(function: Callable[..., Awaitable[T]], *args: Any) -> T:
    try:
        return await function(*args)
    except SystemExit as error:
        raise _ExitError(error) from error


def crossing_app(app: ASGIApp, loop: asyncio.AbstractEventLoop) -> ASGIApp:
    """Return the application as one that any loop may call."""

    async def crossed(scope: Scope, receive: Receive, send: Send) -> None:
        here = asyncio.get_running_loop()

        async def receive_here() -> Message:
            return await run_in(here, receive)

        async def send_here(message: Message) -> None:
            await run_in(here, send, message)

        await run_in(loop, app, scope, receive_here, send_here)

    return crossed


def run_on(pool: Executor, function: Callable[..., T], *args: Any) -> T:
    """Call the function in the pool, and wait for it."""
    return pool.submit(function, *args).result()


async def items_of(loop: asyncio.AbstractEventLoop, produce: Callable[..., Coroutine[Any, Any, None]]) -> Any:
    """Yield what `produce(put)` puts, one at a time, while it runs in that loop."""
    here = asyncio.get_running_loop()
    items: asyncio.Queue[Any] = asyncio.Queue(1)
    producing = asyncio.ensure_future(_run_in(loop, produce, partial(run_in, here, items.put)))
    try:
        while True:
            getting = asyncio.ensure_future(items.get())
            await asyncio.wait({producing, getting}, return_when=asyncio.FIRST_COMPLETED)
            if not getting.done():
                getting.cancel()
                break
            yield getting.result()
        await producing
    except _ExitError as carried:
        raise carried.raised from None
    finally:
        producing.cancel()
