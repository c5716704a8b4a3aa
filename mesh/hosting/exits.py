"""Signals and ends that one service asks for and all would get: kept for the service, or named before they happen."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

from mesh.errors import MeshError
from mesh.hosting.arrivals import Arrivals
from mesh.hosting.fork import Forks
from mesh.hosting.patches import Patch
from mesh.hosting.tracebacks import caller
from mesh.service import ServiceContext, current_service_var

#: Takes the service's name and a sentence about it.
Notice = Callable[[str, str], None]

_PATCHERS = {"gevent.monkey": "patch_all", "eventlet": "monkey_patch", "eventlet.patcher": "monkey_patch"}


class Exits(Patch):
    """Keeps signal handlers for the service's own stop, reports `os._exit`, and refuses to patch the whole process."""

    def __init__(self, arrivals: Arrivals, forks: Forks, notice: Notice) -> None:
        super().__init__()
        self._arrivals = arrivals
        self._forks = forks
        self._notice = notice
        self._handlers: dict[int, dict[int, Any]] = {}

    def install(self) -> None:
        real_signal, real_exit = signal.signal, os._exit

        def own_signal(number: int, handler: Any, /) -> Any:
            service = self._service()
            return real_signal(number, handler) if service is None else self._remember(service, number, handler)

        def own_exit(status: int = 0) -> None:
            service = self._service()
            if service is not None:
                text = f"os._exit({status}) was called at {caller()}; it ends the whole process, every service with it"
                self._notice(service.name, text)
                for stream in (sys.__stdout__, sys.__stderr__):
                    if stream is not None:
                        stream.flush()
            real_exit(status)

        self.patches.replace(signal, "signal", own_signal)
        self.patches.replace(os, "_exit", own_exit)
        for module, function in _PATCHERS.items():
            self._arrivals.when(module, lambda arrived, function=function: self._refuse(arrived, function))  # type: ignore[misc]

    def _service(self) -> ServiceContext | None:
        """The service that asks; none in a child of it, whose signals and end are its own."""
        return None if self._forks.in_child else current_service_var.get()

    def on_signal(self, number: int, handler: Any) -> None:
        """What a service's event loop does with `add_signal_handler`."""
        service = current_service_var.get()
        if service is not None:
            self._remember(service, number, handler)

    def deliver(self, service: ServiceContext) -> None:
        """Calls the handler the service set for SIGTERM, else SIGINT, once; call it in its thread when it is to stop.

        What the handler raises is passed on, but for its `sys.exit`.
        """
        kept = self._handlers.pop(id(service), {})
        handler = next((kept[n] for n in (signal.SIGTERM, signal.SIGINT) if callable(kept.get(n))), None)
        if handler is not None and handler is not signal.default_int_handler:
            try:
                handler(signal.SIGTERM, None)
            except SystemExit:
                return

    def remove_service(self, service: ServiceContext) -> None:
        self._handlers.pop(id(service), None)

    def _remember(self, service: ServiceContext, number: int, handler: Any) -> Any:
        kept = self._handlers.setdefault(id(service), {})
        if number not in kept and callable(handler):
            when = (
                "is called when the service stops" if number in (signal.SIGTERM, signal.SIGINT) else "is never called"
            )
            name = signal.Signals(number).name
            self._notice(service.name, f"its handler of {name} ({caller()}) {when}: signals go to mesh")
        before = kept.get(number, signal.SIG_DFL)
        kept[number] = handler
        return before

    def _refuse(self, module: ModuleType, function: str) -> None:
        patch = getattr(module, function)

        def patch_everything(*args: Any, **options: Any) -> Any:
            service = current_service_var.get()
            if service is None:
                return patch(*args, **options)
            raise MeshError(
                f"{service.name}: {module.__name__}.{function}() at {caller()} would change every service of this "
                f'process; give this one a process of its own: isolation = "process"'
            )

        self.patches.replace(module, function, patch_everything)
