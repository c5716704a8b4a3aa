"""Runs a service's threads and pools in its context, so that what they print, read and request is the service's.

Records which thread of a pool works for which call, so that a call that does not end is reported with its line.
"""

from __future__ import annotations

import contextlib
import functools
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from types import FunctionType, ModuleType
from typing import Any

from mesh.compat.concurrent import is_pool_worker, max_workers
from mesh.context import current_call
from mesh.hosting.import_hooks import ImportHooks
from mesh.hosting.patches import Patch
from mesh.observing.journal import InFlight, Waiting
from mesh.service import current_service_var

#: Before the service's name, the name of the function in which its threads begin.
SERVICE_FRAME = "service "


class ThreadEnd(SystemExit):
    """Raised to end a thread, in silence, that a service's program has left behind."""


class Threads(Patch):
    """Makes `Thread.start` carry a service's context, and `ThreadPoolExecutor.submit` any caller's."""

    def __init__(self, import_hooks: ImportHooks) -> None:
        super().__init__()
        self._import_hooks = import_hooks

    def install(self) -> None:
        start, submit = threading.Thread.start, ThreadPoolExecutor.submit

        def carrying_start(thread: threading.Thread) -> None:
            service = current_service_var.get()
            if service is not None and thread.ident is None:
                _carry(thread)
                # The tasks of a pool run in contexts of their own.
                if not is_pool_worker(thread):
                    service.note_set_up()
            start(thread)

        def carrying_submit(
            pool: ThreadPoolExecutor, fn: Callable[..., Any], /, *args: Any, **kwargs: Any
        ) -> Future[Any]:
            call = call_in_flight()
            if call is not None:
                fn = noted(fn, call, max_workers(pool))
            # Outside a service as well: the worker may be a thread that a service has started.
            return submit(pool, copy_context().run, fn, *args, **kwargs)

        self.patches.replace(threading.Thread, "start", carrying_start)
        self.patches.replace(ThreadPoolExecutor, "submit", carrying_submit)
        self._import_hooks.on_import("anyio.to_thread", self._note_workers_of_anyio)

    def _note_workers_of_anyio(self, to_thread: ModuleType) -> None:
        """Patch anyio, in whose threads Starlette and FastAPI run plain handlers; they carry the context themselves."""
        run_sync = to_thread.run_sync

        @functools.wraps(run_sync)
        async def noting_run_sync(func: Callable[..., Any], *args: Any, **options: Any) -> Any:
            call = call_in_flight()
            if call is not None:
                limiter = options.get("limiter") or to_thread.current_default_thread_limiter()
                func = noted(func, call, limiter.total_tokens)
            return await run_sync(func, *args, **options)

        self.patches.replace(to_thread, "run_sync", noting_run_sync)


def call_in_flight() -> InFlight | None:
    """Return the call that the running code answers; None outside one, and once it has been answered."""
    call, service = current_call.get(), current_service_var.get()
    return service.journal.in_flight.get(call.span_id) if call is not None and service is not None else None


def noted(function: Callable[..., Any], call: InFlight, threads: int) -> Callable[..., Any]:
    """Return the function, to be called in a pool of so many threads; it records in the call which thread runs it."""
    call.waiting = Waiting(threads)

    def run(*args: Any, **kwargs: Any) -> Any:
        thread = threading.get_ident()
        call.waiting = None
        call.workers.append(thread)
        try:
            return function(*args, **kwargs)
        finally:
            call.workers.remove(thread)

    return run


def show_service(function: Callable[[], None], service: str) -> Callable[[], None]:
    """Return the function under a name that tells the service.

    After a crash, faulthandler writes nothing of a thread but the names of its functions (up to Python 3.13).
    """
    code = function.__code__.replace(co_name=f"{SERVICE_FRAME}{service}")
    return FunctionType(code, function.__globals__, None, None, function.__closure__)


def _carry(thread: threading.Thread) -> None:
    """Make the thread run in a copy of the context that starts it."""
    context = copy_context()

    def run() -> None:
        # Remove this function: the class's own run is found again, and the reference cycle ends.
        del thread.__dict__["run"]
        # In the thread's first context as well: the error that ends the thread is reported from there.
        current_service_var.set(context[current_service_var])
        with contextlib.suppress(ThreadEnd):
            context.run(thread.run)

    service = context[current_service_var]
    if service is not None and service.main is not None:
        service.main.thread.threads.add(thread)
    thread.run = show_service(run, service.name) if service else run  # type: ignore[method-assign]  # for this one thread
