"""The one entry of `sys.meta_path` that finds services' modules."""

from __future__ import annotations

import importlib
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from importlib.machinery import BuiltinImporter, FrozenImporter, ModuleSpec, PathFinder
from threading import Lock
from types import CodeType, ModuleType
from typing import TYPE_CHECKING, Any

from mesh.compat.importlib import Loader, ask_finder
from mesh.hosting.import_hooks import ImportHooks
from mesh.hosting.imports import interpreter_modules
from mesh.hosting.imports.asking_code import is_asked_by_mesh
from mesh.hosting.imports.extension_loader import Identity
from mesh.hosting.imports.keyed_spec import KeyedSpec
from mesh.hosting.imports.module_keys import (
    NameEntry,
    Scope,
    SharedKey,
    current_scope,
    current_site,
    executing_scope,
    is_supported,
    shared_imports,
)
from mesh.hosting.imports.module_locks import ModuleLocks
from mesh.hosting.imports.scope.private_packages import NeedsPrivate
from mesh.hosting.imports.sites.extensions import site_loader
from mesh.hosting.patches import Patches

if TYPE_CHECKING:
    from mesh.hosting.imports.scope.import_scope import ImportScope
    from mesh.hosting.imports.sites.site import Site

_lock = Lock()
_STANDARD_FINDERS: tuple[Any, ...] = (BuiltinImporter, FrozenImporter, PathFinder)


class ImportSystem:
    """Stands in front of the other finders while there is an ImportScope.

    codes: the code of each file that has settled, with what tells that file from another in its place.
    has_keys: False in an interpreter that does not ask the keys of `sys.modules`. There is one service then, and its
        newest code has the names.
    private: packages that are executed for each service without a site because they were found to use such a one, or
        to have their source in the project.
    """

    def __init__(self) -> None:
        self.codes: dict[str, tuple[Identity, CodeType]] = {}
        self.has_keys = is_supported()
        self.private: set[str] = set()
        self._scopes: list[ImportScope] = []
        self._sites: set[Site] = set()
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
        if scope.site is not None:
            system._sites.add(scope.site)
            scope.site.attach(system)
        return system

    @classmethod
    def present(cls) -> ImportSystem | None:
        """Return the system that is installed, or None while no scope is open."""
        return next((each for each in sys.meta_path if isinstance(each, cls)), None)

    def site_modules(self) -> Iterator[ModuleType]:
        """Yield the modules of virtual environments that are loaded."""
        for site in list(self._sites):
            yield from (module for _, module in site.modules())

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
                for site in self._sites:
                    site.detach()
                ModuleLocks.uninstall()
                self._unhide()

    def entry(self, name: str) -> NameEntry:
        """Return the services' modules of that name."""
        entry = self._entries.get(name)
        if entry is None:
            entry = self._entries[name] = NameEntry(name)
        return entry

    def hide(self, heads: Iterable[str], scope: Scope) -> None:
        """Hide shared modules of these names, loaded or not, from the scopes that do not have one themselves."""
        if not self.has_keys:
            return
        with _lock:
            known = self._hidden.setdefault(id(scope), set())
            new = set(heads) - known
            known |= new
            self._heads.update(new)
        begins = tuple(new)  # which tells nearly all of the thousands of names apart in one step
        similar = [name for name in list(sys.modules) if type(name) is str and name.startswith(begins)]
        loaded = [name for name in similar if name.partition(".")[0] in new]
        for name in filter(scope.hides, loaded):
            with shared_imports():
                # Between these two no thread gets its turn; another one may have moved the module before.
                if (module := sys.modules.pop(name, None)) is not None:
                    sys.modules[self._shared_key(name)] = module

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        scope, site = current_scope(), current_site()
        if scope is not None:
            spec: ModuleSpec | None = scope.find_spec(fullname, path, target)
            if spec is not None:
                return spec
        executing = executing_scope()
        if executing is not None and executing.is_private(fullname):
            raise NeedsPrivate(fullname.partition(".")[0])
        if site is not None and not (scope is not None and site.owns(fullname) and is_asked_by_mesh()):
            spec = self._find_in_site(site, fullname, path, target)
            if spec is not None or site.owns(fullname):
                return self._private_of_project(spec, fullname, path, target) or spec
            if not site.may_be_shared(fullname):
                return self._found_by_others(fullname, path, target)
        if site is None and scope is None:
            if not self._heads[fullname.partition(".")[0]]:
                return None
            spec = self._find_shared(fullname, path, target)
        else:
            with shared_imports():
                spec = self._find_shared(fullname, _shared_path(fullname, path, site), target)
            private = self._private_of_project(spec, fullname, path, target)
            if private is not None:
                return private
            if spec is not None and hasattr(spec.loader, "exec_module"):
                spec.loader = SharedLoader(spec.loader, self)
        if spec is not None and self._heads[fullname.partition(".")[0]]:
            return KeyedSpec.of(spec, self._shared_key(fullname), keep_key=target is not None)
        return spec

    def _find_in_site(self, site: Site, name: str, path: Sequence[str] | None, target: ModuleType | None) -> Any:
        spec = site.find(name, path) if site.owns(name) else None
        if spec is None:
            return None
        if hasattr(spec.loader, "exec_module"):
            spec.loader = SharedLoader(site_loader(spec.loader), self, site)
        return KeyedSpec.of(spec, site.key(name), keep_key=target is not None)

    def _private_of_project(
        self, spec: ModuleSpec | None, name: str, path: Sequence[str] | None, target: ModuleType | None
    ) -> ModuleSpec | None:
        """Return the running service's own spec of a package whose source is edited in the project."""
        scope: ImportScope | None = current_scope()
        if spec is None or scope is None or "." in name or not scope.is_in_project(spec):
            return None
        scope.shared_with.private.add(name)
        scope.hide_shared()
        return scope.find_spec(name, path, target)

    def _found_by_others(self, name: str, path: Sequence[str] | None, target: ModuleType | None) -> ModuleSpec | None:
        """Return what finders know that are neither Python's nor mesh's, such as those of editable installs."""
        for finder in list(sys.meta_path):
            if isinstance(finder, ImportSystem | ImportHooks) or finder in _STANDARD_FINDERS:
                continue
            spec = ask_finder(finder, name, path, target)
            if spec is not None:
                return self._private_of_project(spec, name, path, target) or spec
        return None

    def _find_shared(self, name: str, path: Sequence[str] | None, target: ModuleType | None) -> Any:
        """Return the spec that the other finders give."""
        for finder in list(sys.meta_path):
            if finder is not self and (spec := ask_finder(finder, name, path, target)) is not None:
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
    """The own loader of a shared module, or of a site's, which sees no module of the service that imports it first."""

    def __init__(self, loader: Any, system: ImportSystem, site: Site | None = None) -> None:
        self._loader = loader
        self._system = system
        self._site = site

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loader, name)

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        with shared_imports(self._site):
            found: ModuleType | None = self._loader.create_module(spec)
        return found

    def exec_module(self, module: ModuleType) -> None:
        if module.__spec__ is not None:
            module.__spec__.loader = self._loader
        module.__loader__ = self._loader
        head = "".join(module.__name__).partition(".")[0]
        ImportHooks.announce(module)
        try:
            with shared_imports(self._site, is_executing=True):
                self._loader.exec_module(module)
                if self._site is not None:
                    ImportHooks.call_back(module)
        except NeedsPrivate as error:
            (self._site or self._system).private.add(head)
            scope: ImportScope | None = current_scope()
            if scope is None or scope.is_loading:
                if scope is not None:
                    scope.needs_private = True
                raise
            raise ImportError(
                f"{head} uses {error.package}, which is executed for each service; add {head} to `private` of "
                f"{scope.service_name}, or reload it",
                name=head,
            ) from None


def _shared_path(name: str, path: Sequence[str] | None, site: Site | None) -> Sequence[str] | None:
    """Return where the shared parent looks for its modules: a service's view of it looks in further folders."""
    parent = name.rpartition(".")[0]
    if path is None or (parent not in sys.modules and site is None):
        return path
    # `google`, say, may have been imported for a site alone.
    return getattr(importlib.import_module(parent), "__path__", path)
