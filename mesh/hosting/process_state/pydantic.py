"""The names of validators that Pydantic 1 has seen, for each service: it refuses a name that comes again."""

from __future__ import annotations

import threading
from types import ModuleType
from typing import Any

from mesh.compat.pydantic import MODULES, NAMES, PREPARE
from mesh.hosting.import_hooks import ImportHooks
from mesh.hosting.patches import Patch
from mesh.service import current_service_var


class PydanticValidators(Patch):
    """Each of its copies has one set for the whole process; mesh gives it the one of the current service."""

    def __init__(self, import_hooks: ImportHooks) -> None:
        super().__init__()
        self._import_hooks = import_hooks

    def install(self) -> None:
        for name in MODULES:
            self._import_hooks.on_import(name, self._serve)

    def _serve(self, validators: ModuleType) -> None:
        if type(known := getattr(validators, NAMES, None)) is set:  # Pydantic 2 has a module of that name without it
            # Given back when this is undone.
            self.patches.replace(validators, NAMES, known)
            self.patches.replace(validators, PREPARE, OwnNames(validators, known))


class OwnNames:
    """The function that checks a validator's name, with the names of the service that defines it.

    Not by another kind of set: compiled, it calls that of Python whatever a derived one does.
    """

    def __init__(self, validators: ModuleType, known: set[str]) -> None:
        self._validators = validators
        self._prepare = getattr(validators, PREPARE)
        self._names: dict[str, set[str]] = {"": known}
        self._lock = threading.Lock()

    def __call__(self, *args: Any, **options: Any) -> Any:
        with self._lock:
            setattr(self._validators, NAMES, self._of_service())
            return self._prepare(*args, **options)

    def forget(self, module: str) -> None:
        """Forget the current service's names of a module that is about to be executed."""
        with self._lock:
            names = self._of_service()
            names -= {each for each in names if each.startswith(f"{module}.")}
        # Another mesh of this process has its own between this and the function.
        if isinstance(self._prepare, OwnNames):
            self._prepare.forget(module)

    def _of_service(self) -> set[str]:
        service = current_service_var.get()
        return self._names.setdefault("" if service is None else service.name, set())
