"""Calls that set up a shared package for the whole process: said once a second service makes one."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from types import ModuleType
from typing import Any

from mesh.hosting.import_hooks import ImportHooks
from mesh.hosting.patches import Patch
from mesh.hosting.processes.exits import Notice
from mesh.service import current_service_var

#: By module, its functions of that kind. Packages that are executed for each service anyway are not here.
CALLS = {
    "boto3": ("setup_default_session",),
    "matplotlib": ("use",),
    "matplotlib.pyplot": ("switch_backend",),
    "numpy.random": ("seed",),
    "pandas": ("set_option",),
    "torch": ("manual_seed", "set_default_device", "set_default_dtype", "set_num_threads"),
}


class SetOnce(Patch):
    """notice: takes a service's name and a sentence."""

    def __init__(self, import_hooks: ImportHooks, notice: Notice) -> None:
        super().__init__()
        self._import_hooks = import_hooks
        self._notice = notice
        #: The service that has made each call first, by the id of the module, of which a site has its own.
        self._first: dict[tuple[int, str], str] = {}
        self._said: set[tuple[int, str]] = set()

    def install(self) -> None:
        for module, names in CALLS.items():
            self._import_hooks.on_import(module, functools.partial(self._watch, names))

    def _watch(self, names: Sequence[str], module: ModuleType) -> None:
        for name in names:
            if hasattr(module, name):
                self.patches.replace(module, name, self._noting(module, name, getattr(module, name)))

    def _noting(self, module: ModuleType, name: str, call: Any) -> Any:
        package = module.__name__.partition(".")[0]

        @functools.wraps(call)
        def noting(*args: Any, **options: Any) -> Any:
            if (service := current_service_var.get()) is not None:
                self._note(service.name, package, f"{module.__name__}.{name}", (id(module), name))
            return call(*args, **options)

        return noting

    def _note(self, service: str, package: str, called: str, key: tuple[int, str]) -> None:
        first = self._first.setdefault(key, service)
        if first != service and key not in self._said:
            self._said.add(key)
            self._notice(
                service,
                f"{called}() holds for every service that shares {package}, and {first} has called it too; "
                f'private = ["{package}"] in the table of one gives it a {package} of its own',
            )
