"""A service's own threads and pools run in its context, so that what they print, read and ask for is the service's."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from typing import Any

from mesh.hosting.patches import Patch
from mesh.service import current_service_var


class Threads(Patch):
    """`Thread.start` carries a service's context, `ThreadPoolExecutor.submit` everybody's."""

    def install(self) -> None:
        start, submit = threading.Thread.start, ThreadPoolExecutor.submit

        def carrying_start(thread: threading.Thread) -> None:
            if current_service_var.get() is not None and not thread._started.is_set():  # type: ignore[attr-defined]  # no public word
                _carry(thread)
            start(thread)

        def carrying_submit(
            pool: ThreadPoolExecutor, fn: Callable[..., Any], /, *args: Any, **kwargs: Any
        ) -> Future[Any]:
            # Outside a service as well: the worker may be a thread that a service has started.
            return submit(pool, copy_context().run, fn, *args, **kwargs)

        self.patches.replace(threading.Thread, "start", carrying_start)
        self.patches.replace(ThreadPoolExecutor, "submit", carrying_submit)


def _carry(thread: threading.Thread) -> None:
    """Has the thread run in a copy of the context that starts it."""
    context = copy_context()

    def run() -> None:
        # Away with this function: the class's own run is the one to find, and the cycle ends.
        del thread.__dict__["run"]
        # In the thread's first context as well: what ends the thread is told from there.
        current_service_var.set(context[current_service_var])
        context.run(thread.run)

    thread.run = run  # type: ignore[method-assign]  # for this one thread
