"""Generations that get no new calls and are about to end."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from mesh.runtime.diagnostics.left_running import WITHIN, OldCode
from mesh.runtime.generation.generation import Generation


class Draining:
    """Ends each generation once, when its calls are over, or with the service. Used in the service's loop."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()
        self._seconds: float | None = None

    def add(self, generation: Generation, complain: Callable[[str], None]) -> None:
        async def retire(generation: Generation) -> None:
            old = OldCode(generation.scope.builtins)
            try:
                await generation.drained()
            finally:
                await generation.stop(complain, self._seconds)
            living = generation.living
            del generation  # Its objects must not live until the check.
            await asyncio.sleep(WITHIN)
            if (told := old.told(each.scope for each in living)) is not None:
                complain(told)

        task = asyncio.get_running_loop().create_task(retire(generation))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def end(self, seconds: float) -> None:
        """Stop waiting for the calls, and wait no longer for the hooks."""
        self._seconds = seconds
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
