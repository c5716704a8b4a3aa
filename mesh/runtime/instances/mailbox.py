"""What is asked of an instance while it lives: given by any thread, heard in its loop."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Coroutine

#: Seconds that a start-up gets, whatever else is asked for meanwhile; what takes longer waits for something.
MIN_START_SECONDS = 1.0


class Mailbox:
    """Each is a reason to load the code anew, or None to end. Nothing is lost that is given before anybody listens."""

    def __init__(self) -> None:
        self._given: deque[str | None] = deque()
        self._news: asyncio.Event | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    def put(self, order: str | None) -> None:
        """From any thread; after the loop's end it has no effect."""
        self._given.append(order)
        if self._loop is not None and self._news is not None:
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._news.set)

    def listen(self) -> None:
        """Has the running loop woken by every order, the first time by those that are there already."""
        self._news = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        if self._given:
            self._news.set()

    async def get(self) -> str | None:
        """Everything that was asked for since the last time as one order: None where the end is among it."""
        assert self._news is not None
        while True:
            await self._news.wait()
            self._news.clear()
            given = [self._given.popleft() for _ in range(len(self._given))]
            if given:
                return None if None in given else ", ".join(dict.fromkeys(why for why in given if why))

    async def run_unless_superseded(self, work: Coroutine[object, object, None]) -> bool:
        """Does the work, or breaks it off for an order that came meanwhile; whether it was done."""
        assert self._news is not None
        doing = asyncio.ensure_future(work)
        await asyncio.wait({doing}, timeout=MIN_START_SECONDS)
        if not doing.done():
            news = asyncio.ensure_future(self._news.wait())
            await asyncio.wait({doing, news}, return_when=asyncio.FIRST_COMPLETED)
            news.cancel()
        if doing.done():
            doing.result()
            return True
        doing.cancel()
        await asyncio.wait({doing})
        return False
