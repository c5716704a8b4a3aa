"""Generations that no new call reaches, on their way out."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from mesh.runtime.generation.generation import Generation


class Draining:
    """Each is ended once, when the calls that began on it are over, or with the service. In the service's loop."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()
        self._seconds: float | None = None

    def add(self, generation: Generation, complain: Callable[[str], None]) -> None:
        async def retire() -> None:
            try:
                await generation.drained()
            finally:
                await generation.stop(complain, self._seconds)

        task = asyncio.get_running_loop().create_task(retire())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def end(self, seconds: float) -> None:
        """Wait no longer for the calls, and for the hooks no longer than that."""
        self._seconds = seconds
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
