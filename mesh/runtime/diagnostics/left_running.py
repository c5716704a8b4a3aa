"""Threads and tasks that still run the code before an edit, beside the new one: each of their jobs is done twice."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterable, Iterator, Mapping
from types import FrameType
from typing import Any

from mesh.compat.interpreter import current_frames
from mesh.hosting.imports.scope.import_scope import ImportScope
from mesh.hosting.tracebacks import is_own

#: Seconds for them to end, after the old code's last hook.
WITHIN = 1.0
#: How many are named.
NAMED = 3
WAY_OUT = "end them in the application's shutdown or in on_stop(), or keep them in mesh.state for the next code"


class OldCode:
    """What the code before an edit may have left. builtins: what the modules of its generation hold as theirs."""

    def __init__(self, builtins: Mapping[str, Any]) -> None:
        self._builtins = builtins

    def told(self, living: Iterable[ImportScope]) -> str | None:
        """Return a sentence about what still runs, in the service's loop and elsewhere; None if nothing does.

        living: the modules of the generations that serve.
        """
        known = {id(vars(module)) for scope in living for module in scope.modules()}
        found = [*self._tasks(known), *self._threads(known)]
        if not found:
            return None
        more = f" and {len(found) - NAMED} more" if len(found) > NAMED else ""
        return f"still runs code from before the edit: {', '.join(found[:NAMED])}{more}; {WAY_OUT}"

    def _threads(self, known: set[int]) -> Iterator[str]:
        frames = current_frames()
        for thread in threading.enumerate():
            frame = frames.get(thread.ident or 0)
            place = None
            while frame is not None:
                if self._is_old(frame, known):
                    place = frame
                frame = frame.f_back
            if place is not None:
                yield f"thread {thread.name} in {_place(place)}"

    def _tasks(self, known: set[int]) -> Iterator[str]:
        for task in asyncio.all_tasks():
            coroutine: Any = task.get_coro()
            while (frame := getattr(coroutine, "cr_frame", None)) is not None:
                if self._is_old(frame, known):
                    yield f"task {task.get_name()} in {_place(frame)}"
                    break
                coroutine = coroutine.cr_await

    def _is_old(self, frame: FrameType, known: set[int]) -> bool:
        return (
            frame.f_builtins is self._builtins and id(frame.f_globals) not in known and is_own(frame.f_code.co_filename)
        )


def _place(frame: FrameType) -> str:
    return f"{frame.f_code.co_qualname} ({frame.f_code.co_filename}:{frame.f_lineno})"
