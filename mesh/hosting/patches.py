"""Patches of the process while services run, and their undoing."""

from __future__ import annotations

from collections.abc import Collection
from types import ModuleType
from typing import Any

from mesh.service import ServiceContext

_MISSING = object()


class Patches:
    """Replaced attributes, restored in reverse order."""

    def __init__(self) -> None:
        self._replaced: list[tuple[Any, str, Any, Any]] = []

    def replace(self, owner: Any, name: str, value: Any) -> None:
        self._replaced.append((owner, name, vars(owner).get(name, _MISSING), value))
        setattr(owner, name, value)

    def replace_class(self, module: ModuleType, kind: type[ModuleType]) -> None:
        """Replace the module's class to change how its attributes behave."""
        self._replaced.append((module, "__class__", type(module), kind))
        ModuleType.__setattr__(module, "__class__", kind)

    def undo(self) -> None:
        """Restore everything except what other code has replaced since."""
        while self._replaced:
            owner, name, before, value = self._replaced.pop()
            if name == "__class__":
                if type(owner) is value:
                    ModuleType.__setattr__(owner, "__class__", before)
                continue
            if vars(owner).get(name) is not value:
                continue
            if before is _MISSING:
                delattr(owner, name)
            else:
                setattr(owner, name, before)


class Patch:
    """One patch of the process: installed once, notified of every generation that is added or removed."""

    def __init__(self) -> None:
        self.patches = Patches()

    def install(self) -> None:
        """Apply the patch; takes microseconds and imports nothing slow."""

    def uninstall(self) -> None:
        self.patches.undo()

    def add_service(self, service: ServiceContext) -> None:
        """Prepare a generation before its code is loaded. Each has its own ServiceContext object."""

    def service_loaded(self, service: ServiceContext) -> None:
        """Called after the generation's code was loaded, or could not be."""

    def carry(self, earlier: ServiceContext, service: ServiceContext, modules: Collection[str]) -> None:
        """Called before the generation's code is loaded: it takes over these modules of an earlier one, as they are."""

    def remove_service(self, service: ServiceContext) -> None:
        """Clean up after the generation has ended."""
