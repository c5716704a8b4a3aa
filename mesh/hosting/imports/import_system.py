"""The one entry of `sys.meta_path` that finds services' modules."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from importlib.abc import Loader
from importlib.machinery import ModuleSpec
from threading import Lock
from types import CodeType, ModuleType
from typing import TYPE_CHECKING, Any

from mesh.hosting.imports import interpreter_modules
from mesh.hosting.imports.extension_loader import Identity
from mesh.hosting.imports.keyed_spec import KeyedSpec
from mesh.hosting.imports.module_keys import (
    NameEntry,
    SharedKey,
    current_scope,
    executing_scope,
    is_supported,
    shared_imports,
)
from mesh.hosting.imports.module_locks import ModuleLocks
from mesh.hosting.imports.scope.private_packages import NeedsPrivate
from mesh.hosting.patches import Patches

if TYPE_CHECKING:
    from mesh.hosting.imports.scope.import_scope import ImportScope

_lock = Lock()


class ImportSystem:
    """Stands in front of the other finders while there is an ImportScope.

    codes: the code of each file that has settled, with what tells that file from another in its place.
    has_keys: False in an interpreter that does not ask the keys of `sys.modules`. There is one service then, and its
        newest code has the names.
    private: packages that are executed for each service because they were found to use such a one, or to have their
        source in the project.
    """

    def __init__(self) -> None:
        self.codes: dict[str, tuple[Identity, CodeType]] = {}
        self.has_keys = is_supported()
        self.private: set[str] = set()
        self._scopes: list[ImportScope] = []
        self._entries: dict[str, NameEntry] = {}
        self._hidden: dict[int, set[str]] = {}
        #: How many scopes may have a top-level module of that name.
        self._heads: Counter[str] = Counter()
        self._shared_keys: dict[str, SharedKey] = {}
        self._patches = Patches()

    @classmethod
    def open(cls, scope: ImportScope) -> ImportSystem:
        """Begin to find the scope's modules. Returns the system that all scopes of the process share."""
        with _lock:
            system = cls.present()
            if system is None:
                system = cls()
                sys.meta_path.insert(0, system)
                ModuleLocks.install()
                system._patches = interpreter_modules.install()
            for older in system._scopes if not system.has_keys else ():
                older.purge_modules()
            system._scopes.append(scope)
        return system

    @classmethod
    def present(cls) -> ImportSystem | None:
        """Return the system that is installed, or None while no scope is open."""
        return next((each for each in sys.meta_path if isinstance(each, cls)), None)

    def close(self, scope: ImportScope) -> None:
        with _lock:
            self._scopes.remove(scope)
            for head in self._hidden.pop(id(scope), ()):
                self._heads[head] -= 1
            if not self._scopes:
                # Gone already where somebody has put an older list back.
                if self in sys.meta_path:
                    sys.meta_path.remove(self)
                self._patches.undo()
                ModuleLocks.uninstall()
                self._unhide()

    def entry(self, name: str) -> NameEntry:
        """Return the services' modules of that name."""
        entry = self._entries.get(name)
        if entry is None:
            entry = self._entries[name] = NameEntry(name)
        return entry

    def hide(self, heads: Iterable[str], scope: ImportScope) -> None:
        """Hide shared modules of these names, loaded or not, from the scopes that do not have one themselves."""
        if not self.has_keys:
            return
        with _lock:
            known = self._hidden.setdefault(id(scope), set())
            new = set(heads) - known
            known |= new
            self._heads.update(new)
        loaded = [name for name in list(sys.modules) if type(name) is str and name.partition(".")[0] in new]
        for name in filter(scope.hides, loaded):
            with shared_imports():
                # Between these two no thread gets its turn; another one may have moved the module before.
                if (module := sys.modules.pop(name, None)) is not None:
                    sys.modules[self._shared_key(name)] = module

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        scope = current_scope()
        spec: ModuleSpec | None
        if scope is None:
            executing = executing_scope()
            if executing is not None and executing.is_private(fullname):
                raise NeedsPrivate(fullname.partition(".")[0])
            if not self._heads[fullname.partition(".")[0]]:
                return None
            spec = self._find_shared(fullname, path, target)
        else:
            spec = scope.find_spec(fullname, path, target)
            if spec is not None:
                return spec
            with shared_imports():
                spec = self._find_shared(fullname, _shared_path(fullname, path), target)
            if spec is not None and "." not in fullname and scope.is_in_project(spec):
                self.private.add(fullname)
                scope.hide_shared()
                spec = scope.find_spec(fullname, path, target)
                return spec
            if spec is not None and hasattr(spec.loader, "exec_module"):
                spec.loader = SharedLoader(spec.loader, self, scope)
        if spec is not None and self._heads[fullname.partition(".")[0]]:
            return KeyedSpec.of(spec, self._shared_key(fullname), keep_key=target is not None)
        return spec

    def _find_shared(self, name: str, path: Sequence[str] | None, target: ModuleType | None) -> Any:
        """Return the spec that the other finders give."""
        for finder in list(sys.meta_path):
            if finder is not self and hasattr(finder, "find_spec"):
                spec = finder.find_spec(name, path, target)
                if spec is not None:
                    return spec
        return None

    def _shared_key(self, name: str) -> SharedKey:
        return self._shared_keys.setdefault(name, SharedKey(name))

    def _unhide(self) -> None:
        """Give the shared modules their plain names back."""
        for name, key in self._shared_keys.items():
            module = sys.modules.pop(key, None)
            if module is not None:
                sys.modules[name] = module
        self._shared_keys.clear()


class SharedLoader(Loader):
    """A shared module's own loader, whose module sees no module of the service that happens to import it first."""

    def __init__(self, loader: Any, system: ImportSystem, scope: ImportScope) -> None:
        self._loader = loader
        self._system = system
        self._scope = scope

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loader, name)

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        with shared_imports():
            found: ModuleType | None = self._loader.create_module(spec)
        return found

    def exec_module(self, module: ModuleType) -> None:
        if module.__spec__ is not None:
            module.__spec__.loader = self._loader
        module.__loader__ = self._loader
        head = module.__name__.partition(".")[0]
        try:
            with shared_imports("execute"):
                self._loader.exec_module(module)
        except NeedsPrivate as error:
            self._system.private.add(head)
            if self._scope.is_loading:
                raise
            raise ImportError(
                f"{head} uses {error.package}, which is executed for each service; add {head} to `private` of "
                f"{self._scope.service_name}, or reload it",
                name=head,
            ) from None


def _shared_path(name: str, path: Sequence[str] | None) -> Sequence[str] | None:
    """Return where the shared parent looks for its modules: a service's view of it looks in further folders."""
    parent = sys.modules.get(name.rpartition(".")[0]) if path is not None else None
    return path if parent is None else getattr(parent, "__path__", path)
