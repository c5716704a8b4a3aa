"""Reports a service's request to end the process before it happens, and refuses process-wide patches."""

from __future__ import annotations

import os
from collections.abc import Callable
from types import ModuleType
from typing import Any

from mesh.errors import MeshError
from mesh.hosting.import_hooks import ImportHooks
from mesh.hosting.patches import Patch
from mesh.hosting.processes.fork import Forks
from mesh.hosting.tracebacks import caller
from mesh.observing.journal import Line
from mesh.service import ServiceContext, current_service_var

#: Takes the service's name and a sentence about it.
Notice = Callable[[str, str], None]

_PATCHERS = {"gevent.monkey": "patch_all", "eventlet": "monkey_patch", "eventlet.patcher": "monkey_patch"}


def tell_last(service: ServiceContext, text: str) -> None:
    """Report why the process is about to end; return when that has been written."""
    service.journal.append_last(Line(service.name, text, "mesh"))


class Exits(Patch):
    """Reports the caller of `os._exit` and `os.abort`, and refuses to patch the whole process.

    alone: see Isolation.
    """

    def __init__(self, import_hooks: ImportHooks, forks: Forks, alone: bool) -> None:
        super().__init__()
        self._import_hooks = import_hooks
        self._forks = forks
        self._alone = alone

    def install(self) -> None:
        self._name_caller("_exit", lambda status=0: f"os._exit({status})")
        self._name_caller("abort", lambda: "os.abort()")
        for module, function in _PATCHERS.items():
            self._import_hooks.on_import(module, lambda arrived, function=function: self._refuse(arrived, function))  # type: ignore[misc]

    def _name_caller(self, name: str, call: Callable[..., str]) -> None:
        """Make a function of `os` that ends the process first report who calls it. A child may end itself."""
        end = getattr(os, name)

        def named_end(*args: Any, **options: Any) -> None:
            service = None if self._forks.in_child else current_service_var.get()
            if service is not None:
                whole = "its process" if self._alone else "the whole process, every service with it"
                tell_last(service, f"{call(*args, **options)} was called at {caller()}; it ends {whole}")
            end(*args, **options)

        self.patches.replace(os, name, named_end)

    def _refuse(self, module: ModuleType, function: str) -> None:
        patch = getattr(module, function)

        def patch_everything(*args: Any, **options: Any) -> Any:
            service = current_service_var.get()
            if service is None:
                return patch(*args, **options)
            raise MeshError(
                f"{service.name}: {module.__name__}.{function}() at {caller()} would change every service of this "
                f'process; give this one its own process: isolation = "process"'
            )

        self.patches.replace(module, function, patch_everything)
