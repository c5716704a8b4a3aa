"""The import system's locks of modules that are being imported, and what a thread finds that has waited for one."""

from __future__ import annotations

import importlib
import sys
from typing import TYPE_CHECKING, Any

from mesh.compat.importlib import await_lock, replace_locks, restore_locks
from mesh.hosting.imports.asking_code import is_asked_by_mesh
from mesh.hosting.imports.module_keys import current_scope, current_site

if TYPE_CHECKING:
    from mesh.hosting.imports.scope.import_scope import ImportScope
    from mesh.hosting.imports.sites.site import Site


class ModuleLocks(dict[str, Any]):
    """The import system's locks by name; each service has its own for its modules.

    With common ones a service would wait for other services' modules of the same names, and two that import each
    other's names would be taken for a deadlock.
    """

    @classmethod
    def install(cls) -> None:
        replace_locks(cls, _await_import)

    @staticmethod
    def uninstall() -> None:
        restore_locks()

    def __getitem__(self, name: str) -> Any:
        scope = _owner(name)
        return super().__getitem__(name) if scope is None else scope.module_locks[name]

    def __setitem__(self, name: str, lock: Any) -> None:
        scope = _owner(name)
        super().__setitem__(name, lock) if scope is None else scope.module_locks.__setitem__(name, lock)

    def __delitem__(self, name: str) -> None:
        scope = _owner(name)
        super().__delitem__(name) if scope is None else scope.module_locks.__delitem__(name)

    def get(self, name: str, default: Any = None) -> Any:
        try:
            return self[name]
        except KeyError:
            return default


def _owner(name: str) -> ImportScope | Site | None:
    scope: ImportScope | None = current_scope()
    site: Site | None = current_site()
    if scope is not None and scope.hides(name):
        return scope
    if site is None or not site.hides(name) or (scope is not None and is_asked_by_mesh()):
        return None
    return site


def _await_import(name: str) -> None:
    """Wait until another thread has imported the module. If that failed, import it for this thread.

    CPython goes on with the half-made module of the other thread then (python/cpython#143650), in which names are
    missing; this thread gets the exception that the module raises, or the module where it raises none for this service.
    """
    half_made = sys.modules.get(name)
    await_lock(name)
    if name not in sys.modules:
        found = importlib.import_module(name)
        if half_made is not None:
            # The caller holds it already.
            vars(half_made).update(vars(found))
