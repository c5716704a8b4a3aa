"""A shared package as seen by a service that has further modules in it, or copies of some."""

from __future__ import annotations

import importlib
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import TYPE_CHECKING, Any

from mesh.compat.importlib import Loader
from mesh.hosting.imports.module_keys import shared_imports

if TYPE_CHECKING:
    from mesh.hosting.imports.scope.import_scope import ImportScope


class OverlayLoader(Loader):
    """Makes an Overlay of the package that everybody sees."""

    def __init__(self, scope: ImportScope) -> None:
        self._scope = scope

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        with shared_imports(self._scope.site):
            shared = importlib.import_module(spec.name)
        spec.submodule_search_locations = list(shared.__path__)
        return Overlay(shared, self._scope)

    def exec_module(self, module: ModuleType) -> None:
        """Do nothing: the shared package has been executed."""


class Overlay(ModuleType):
    """The shared package, but for the modules below it that are the service's own."""

    def __init__(self, shared: ModuleType, scope: ImportScope) -> None:
        super().__init__(shared.__name__, shared.__doc__)
        if hasattr(shared, "__file__"):
            self.__dict__["__file__"] = shared.__file__
        self.__dict__.update(_shared=shared, _scope=scope)

    def _is_own(self, name: str) -> bool:
        scope: ImportScope = self.__dict__["_scope"]
        return name.startswith("__") or scope.hides(f"{self.__name__}.{name}")

    def __getattr__(self, name: str) -> Any:
        found = getattr(self.__dict__["_shared"], name)
        if isinstance(found, ModuleType) and self._is_own(name):
            return importlib.import_module(f"{self.__name__}.{name}")
        return found

    def __setattr__(self, name: str, value: Any) -> None:
        if self._is_own(name):
            super().__setattr__(name, value)
        else:
            setattr(self.__dict__["_shared"], name, value)

    def __dir__(self) -> list[str]:
        return sorted({*self.__dict__, *dir(self.__dict__["_shared"])})
