"""Requests to a running instance: sent by any thread, received in its loop."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Coroutine

from msgspec import Struct

#: Seconds that a start-up gets before another request interrupts it; one that takes longer is waiting for something.
MIN_START_SECONDS = 1.0


class Reload(Struct, frozen=True):
    """An order to load the code. why: for the log. executes_all: no module is carried over from the code so far."""

    why: str
    executes_all: bool = True


class Mailbox:
    """Each item is a Reload, or None to end. Items sent before `listen` are not lost."""

    def __init__(self) -> None:
        self._given: deque[Reload | None] = deque()
        self._news: asyncio.Event | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    def put(self, request: Reload | None) -> None:
        """Send a request from any thread; without effect after the loop's end."""
        self._given.append(request)
        if self._loop is not None and self._news is not None:
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._news.set)

    def listen(self) -> None:
        """Wake the running loop at every request, and at once if there are any already."""
        self._news = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        if self._given:
            self._news.set()

    async def get(self) -> Reload | None:
        """Return everything requested since the last time as one request: None if the end is among it."""
        assert self._news is not None
        while True:
            await self._news.wait()
            self._news.clear()
            given = [self._given.popleft() for _ in range(len(self._given))]
            if None in given:
                return None
            reloads = [each for each in given if each is not None]
            if reloads:
                why = ", ".join(dict.fromkeys(each.why for each in reloads if each.why))
                return Reload(why, any(each.executes_all for each in reloads))

    async def run_unless_superseded(self, work: Coroutine[object, object, None]) -> bool:
        """Do the work, or cancel it for a request that arrives meanwhile; return whether it was done."""
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
