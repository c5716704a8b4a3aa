"""Calls from one event loop into another, whose code may exit."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterator

import pytest

from mesh.serving.mains.crossing import items_of, run_in

WITHIN = 30.0


@pytest.fixture
def other() -> Iterator[asyncio.AbstractEventLoop]:
    """A loop that runs in a thread of its own, and still does in the end."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    yield loop
    assert asyncio.run_coroutine_threadsafe(asyncio.sleep(0, "alive"), loop).result(WITHIN) == "alive"
    loop.call_soon_threadsafe(loop.stop)
    thread.join(WITHIN)
    loop.close()


def test_an_exit_reaches_the_caller_and_ends_no_loop(other: asyncio.AbstractEventLoop) -> None:
    async def leave() -> None:
        raise SystemExit("no database")

    async def call() -> str:
        with pytest.raises(SystemExit, match="no database"):
            await run_in(other, leave)
        return "alive"

    assert asyncio.run(call()) == "alive"


def test_an_exit_in_a_stream_comes_after_its_items(other: asyncio.AbstractEventLoop) -> None:
    async def produce(put: Callable[[int], Awaitable[None]]) -> None:
        await put(1)
        raise SystemExit("no database")

    async def read() -> list[int]:
        items = items_of(other, produce)
        found = [await anext(items)]
        with pytest.raises(SystemExit, match="no database"):
            await anext(items)
        await asyncio.sleep(0)
        return found

    assert asyncio.run(read()) == [1]
