"""Reports when a module is first imported, so that patching it costs nothing if it never is."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Callable, Iterable, Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

from mesh.compat.importlib import Loader
from mesh.hosting.imports.module_keys import current_site, shared_imports

Callback = Callable[[ModuleType], None]


class ImportHooks:
    """A finder in front of `sys.meta_path` that finds nothing itself."""

    def __init__(self) -> None:
        self._waiting: dict[str, list[Callback]] = {}
        self._known: dict[str, list[Callback]] = {}
        self._before: dict[str, Callable[[str], object]] = {}

    def install(self) -> None:
        sys.meta_path.insert(0, self)

    def uninstall(self) -> None:
        self._waiting.clear()
        self._known.clear()
        self._before.clear()
        sys.meta_path.remove(self)

    @classmethod
    def call_back(cls, module: ModuleType) -> None:
        """Call back with another module of a name, of a virtual environment say, that has been executed."""
        for hooks in [each for each in sys.meta_path if isinstance(each, cls)]:
            hooks.meet(module)

    def meet(self, module: ModuleType) -> None:
        """Call back with a module of a virtual environment that was executed before."""
        for callback in self._known.get(module.__name__, ()):
            callback(module)

    @classmethod
    def announce(cls, module: ModuleType) -> None:
        """Call back before a shared module, or that of a virtual environment, is executed."""
        for hooks in [each for each in sys.meta_path if isinstance(each, cls)]:
            name = "".join(module.__name__)
            if (callback := hooks._before.pop(name, None)) is not None:
                callback(name)

    def before_execution(self, names: Iterable[str], callback: Callable[[str], object]) -> None:
        """Call back with the name of each of these modules before a service's import first executes it."""
        self._before |= dict.fromkeys(names, callback)

    def on_import(self, name: str, callback: Callback) -> None:
        """Call back with the module once it is executed, or at once if it already is."""
        self._known.setdefault(name, []).append(callback)
        try:
            # That of the process: the others are met. Not the entry itself: another thread may be executing the module,
            # and the import waits for that.
            with shared_imports():
                module = importlib.import_module(name) if name in sys.modules else None
        except Exception:  # whatever the module raises when it cannot be executed
            module = None
        if module is not None:
            callback(module)
        else:
            self._waiting.setdefault(name, []).append(callback)

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        site = current_site() if fullname in self._waiting else None
        if site is not None and site.owns(fullname):
            return None  # Its own loader calls back.
        # Taken out first: the search below passes here again.
        callbacks = self._waiting.pop(fullname, None)
        if callbacks is None:
            return None
        spec = importlib.util.find_spec(fullname)
        if spec is None or spec.loader is None:
            self._waiting[fullname] = callbacks
            return None
        spec.loader = _Announcing(spec.loader, callbacks, self._waiting)
        return spec


class _Announcing(Loader):
    """A module's own loader, which reports when it is done and then removes itself."""

    def __init__(self, loader: Loader, callbacks: list[Callback], waiting: dict[str, list[Callback]]) -> None:
        self._loader = loader
        self._callbacks = callbacks
        self._waiting = waiting

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loader, name)

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        if module.__spec__ is not None:
            module.__spec__.loader = self._loader
        module.__loader__ = self._loader
        try:
            self._loader.exec_module(module)
        except BaseException:
            self._waiting[module.__name__] = self._callbacks
            raise
        for callback in self._callbacks:
            callback(module)
