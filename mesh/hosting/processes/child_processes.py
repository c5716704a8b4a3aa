"""Ends the processes that a service starts through multiprocessing and concurrent.futures with the service."""

from __future__ import annotations

import contextlib
import functools
import threading
import time
import weakref
from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from mesh.hosting.import_hooks import ImportHooks
from mesh.hosting.patches import Patch
from mesh.hosting.processes.fork import Forks
from mesh.service import ServiceContext, current_service_var

if TYPE_CHECKING:
    from multiprocessing.process import BaseProcess

#: Seconds that a service's pools get to close, and again its processes to end.
JOIN_SECONDS = 0.5


class ChildProcesses(Patch):
    """Records who starts which process and pool, and ends them with the last generation of that service.

    A reload leaves them to the code that holds them: they may be kept in `mesh.state`.
    """

    def __init__(self, import_hooks: ImportHooks, forks: Forks) -> None:
        super().__init__()
        self._import_hooks = import_hooks
        self._forks = forks
        self._generations: Counter[str] = Counter()
        self._processes: dict[str, weakref.WeakSet[BaseProcess]] = {}
        self._pools: dict[str, weakref.WeakSet[Any]] = {}

    def install(self) -> None:
        when, note = self._import_hooks.on_import, self._note
        when("multiprocessing.process", lambda module: note(module.BaseProcess, "start", self._processes))
        when("multiprocessing.pool", lambda module: note(module.Pool, "__init__", self._pools))
        when("concurrent.futures.process", lambda module: note(module.ProcessPoolExecutor, "__init__", self._pools))

    def uninstall(self) -> None:
        super().uninstall()
        for name in list(self._generations):
            self._end(name)

    def add_service(self, service: ServiceContext) -> None:
        self._generations[service.name] += 1

    def remove_service(self, service: ServiceContext) -> None:
        self._generations[service.name] -= 1
        if not self._generations[service.name]:
            self._end(service.name)

    def _note(self, kind: type, method: str, known: dict[str, weakref.WeakSet[Any]]) -> None:
        """Make the method record the object for the service that calls it."""
        call = getattr(kind, method)

        @functools.wraps(call)
        def noting(noted: Any, *args: Any, **options: Any) -> None:
            call(noted, *args, **options)
            service = None if self._forks.in_child else current_service_var.get()
            if service is not None:
                known.setdefault(service.name, weakref.WeakSet()).add(noted)

        self.patches.replace(kind, method, noting)

    def _end(self, service: str) -> None:
        # Pools first: one may start another process for each that ends, or wait for a lock that such a process held.
        closing = threading.Thread(target=_close, args=(list(self._pools.pop(service, ())),), daemon=True)
        closing.start()
        closing.join(JOIN_SECONDS)
        self._forks.end_children(service)
        processes: list[BaseProcess] = list(self._processes.pop(service, ()))
        until = time.monotonic() + JOIN_SECONDS
        asks: list[Callable[[BaseProcess], None]] = [
            lambda each: each.terminate(),
            lambda each: each.join(max(0.0, until - time.monotonic())),
            lambda each: each.kill(),
        ]
        for ask in asks:
            for each in processes:
                # Closed, or another thread is waiting for it.
                with contextlib.suppress(ValueError, AssertionError, OSError, AttributeError):
                    ask(each)


def _close(pools: list[Any]) -> None:
    for pool in pools:
        if hasattr(pool, "terminate"):
            pool.terminate()
        else:
            pool.shutdown(wait=False, cancel_futures=True)
