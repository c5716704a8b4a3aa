"""The modules that one generation of a service sees: its own, under its roots, and the shared ones.

The order is Python's for a script in its folder: what the interpreter holds (built in or frozen: `sys`, `os`), the
roots in their order, the standard library and what is installed. So a local `calendar.py` wins, for this service alone.
A folder without `__init__.py` gives way to an installed package, as in plain Python, but for what it alone holds.
"""

from __future__ import annotations

import builtins
import os
import sys
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from importlib.machinery import ExtensionFileLoader, FrozenImporter, ModuleSpec, PathFinder, SourceFileLoader
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path
from types import FrameType, ModuleType
from typing import TYPE_CHECKING, Any, Protocol

import mesh
from mesh.hosting.imports.carrying.carried_modules import ExecutedModule, ModuleRecords
from mesh.hosting.imports.extension_loader import ServiceExtensionLoader
from mesh.hosting.imports.import_system import ImportSystem
from mesh.hosting.imports.keyed_spec import KeyedSpec
from mesh.hosting.imports.module_keys import ModuleKey, ParkedKey, current_scope, shared_imports
from mesh.hosting.imports.scope.directory_cache import DirectoryCache
from mesh.hosting.imports.scope.overlay import OverlayLoader
from mesh.hosting.imports.scope.project_sources import ProjectSources
from mesh.hosting.imports.scope.search_path import SearchPath, forget_finders
from mesh.hosting.imports.source_loader import ServiceLoader

if TYPE_CHECKING:
    from mesh.hosting.imports.sites.site import Site


class Copies(Protocol):
    """Modules of shared packages that are executed for the service (see descriptor_pools.py)."""

    def is_package(self, name: str) -> bool:
        """Return True for a package in which the service finds copies, beside what it shares."""

    def is_copy(self, name: str) -> bool:
        """Return True for a module that is executed for this service."""


class ImportScope:
    """roots: absolute folders, searched in order. private: installed packages that are executed for this service.
    site: of its own virtual environment; without one it shares the packages of the process.
    sources: those of the project; a shared package among them is executed for the service, which is reloaded with it.

    builtins: what the service's modules hold as `__builtins__`. files: of the service's own, by module name; those that
        were loaded, or failed to be. sys_attributes: what it has set on `sys`. parked: see module_keys.py.
        module_locks: see module_locks.py. records: see carried_modules.py.
    has_own_builtins: whether code has written to `builtins`.
    """

    #: True once a shared package, while this was loading, has imported one that is executed for each service.
    needs_private = False

    def __init__(
        self,
        service_name: str,
        roots: Sequence[Path],
        private: Iterable[str] = (),
        sources: ProjectSources | None = None,
        site: Site | None = None,
    ) -> None:
        self.service_name = service_name
        self.site = site
        self._private = frozenset(private)
        self._sources = sources
        self.roots = tuple(Path(os.path.abspath(root)) for root in roots)
        self.builtins: dict[str, Any] = dict(builtins.__dict__)
        self.files: dict[str, str] = {}
        self.parked: dict[str, ParkedKey] = {}
        self.module_locks: dict[str, Any] = {}
        #: True while what the service declares is being loaded, as opposed to what its code imports later.
        self.is_loading = False
        self.is_open = False
        self.records = ModuleRecords()
        #: The name of the first root as a package, for code with relative imports in its top-level modules.
        self.package = ""
        #: Of the service's generated code; None if none was given.
        self.descriptor_pool: Any = None
        self.sys_attributes: dict[str, Any] = {}
        #: By name, what patches a module once it has been executed for the service.
        self.on_execution: Mapping[str, Callable[[ModuleType], None]] = {}
        self._copies: Copies | None = None
        self._keys: dict[str, str] = {}
        self._own: set[str] = set()
        self._installed: set[str] = set()
        self._overlays: dict[str, list[str]] = {}
        self.has_own_builtins = False
        self._found: dict[str, ModuleSpec] = {}
        self._directories = DirectoryCache()
        self._system: ImportSystem | None = None
        self._search: list[str] = list(map(str, self.roots))
        self.set_sys_attribute("path", [*self._search, *self._installed_path()])
        forget_finders(self._search)

    def open(self) -> None:
        """Make the service's modules importable, by its own code."""
        self._system = ImportSystem.open(self)
        self.is_open = True
        self.hide_shared()

    def close(self) -> None:
        """Forget the modules. Objects still in use live on, but import nothing more of the service."""
        self.purge_modules()
        if self.is_open and self._system is not None:
            self._system.close(self)
        self.is_open = False

    def carry(self, earlier: ImportScope, names: Collection[str]) -> None:
        """Take over these modules of an earlier generation, as they are."""
        if earlier.package:
            self.enter_package()
        if names:
            # Theirs is the dict of the earlier generation, and code is told by it.
            self.builtins = earlier.builtins
        self.records.take_over(earlier.records, names)
        for name in names:
            record = self.records.modules[name]
            head = name.partition(".")[0]
            self._own.add(head)
            if head in earlier._installed:
                self._installed.add(head)
            if name in earlier.files:
                self.files[name] = earlier.files[name]
            sys.modules[self.key(name)] = record.module
        for name, library in self.records.libraries.items():
            self._own.add(name.partition(".")[0])
            self.files[name] = library.path
            sys.modules[self.key(name)] = library.module
        self._make_namespace_packages()

    def _make_namespace_packages(self) -> None:
        """Make anew the packages without a file that carried modules are in, which nothing would tell of these."""
        carried = self.records.carried
        above = {name.rpartition(".")[0] for name in carried} - carried
        for name in sorted(each for each in above if each and "." not in each):
            spec = self.find_spec(name, None, None)
            if spec is not None and spec.loader is None:
                module = sys.modules[self.key(name)] = module_from_spec(spec)
                self.add_carried_submodules(module)

    def add_carried_submodules(self, package: ModuleType) -> None:
        """Give a package that is executed again its carried modules, which nothing imports a second time."""
        prefix = f"{package.__name__}."
        for name in self.records.carried if hasattr(package, "__path__") else ():
            if name.startswith(prefix) and "." not in name[len(prefix) :]:
                setattr(package, name[len(prefix) :], self.records.modules[name].module)

    def settle(self, is_compared: bool = False) -> None:
        """The generation serves. is_compared: none of its code has run since its modules were compared."""
        self.records.settle(is_compared)
        for name in self.records.carried:
            loader = self.records.modules[name].module.__dict__.get("__loader__")
            if isinstance(loader, ServiceLoader):
                loader.scope = self

    def can_be_carried(self, later: ImportScope) -> bool:
        """False if the modules, or a later generation's, could be bound to what each generation has once."""
        is_plain = not (self._overlays or self._copies or self.has_own_builtins)
        has_keys = later._system is not None and later._system.has_keys
        return is_plain and has_keys and self.roots == later.roots

    def installed_packages(self) -> frozenset[str]:
        """The installed packages that are executed for the service."""
        return frozenset(self._installed)

    def appeared(self, earlier: ImportScope) -> set[str]:
        """Modules that the earlier generation's code imports and did not have, and that can be found by now."""
        modules = earlier.records.modules
        edited = [each for name, each in modules.copy().items() if name in earlier.files]
        wanted = {name for each in edited for name in each.imports.names} - modules.keys()
        return {name for name in wanted if self._is_found(name, modules)}

    def _is_found(self, name: str, modules: Mapping[str, ExecutedModule]) -> bool:
        parent, _, child = name.rpartition(".")
        if not parent:
            return self.hides(name) and not self.is_private(name)
        path = getattr(modules[parent].module, "__path__", ()) if parent in modules else ()
        return self._holds(path, child)

    def note_set_up(self) -> None:
        """Record that the running code has changed what is set up for each generation: its environment, say."""
        if current_scope() is self and self.is_open:
            self.records.note_set_up(self.acting_module())

    def acting_module(self) -> str:
        """The module on whose behalf code runs; see ModuleRecords."""
        return self.records.acting_module(self.calling_module)

    def calling_module(self) -> str:
        """Return the innermost module on the stack that is executed for the service; empty if there is none."""
        frame: FrameType | None = sys._getframe(1)
        while frame is not None:
            if frame.f_builtins is self.builtins:
                return str(frame.f_globals.get("__name__"))
            frame = frame.f_back
        return ""

    def purge_modules(self) -> None:
        """Take the service's modules out of `sys.modules`."""
        self.records = ModuleRecords()
        for name, key in self._keys.copy().items():
            del self._keys[name]
            if isinstance(key, ModuleKey):
                key.entry.remove(key)
            else:
                sys.modules.pop(name, None)

    def key(self, name: str) -> str:
        """Return the key of the service's module of that name in `sys.modules`."""
        key = self._keys.get(name)
        if key is None:
            assert self._system is not None
            key = self._system.entry(name).add(self) if self._system.has_keys else name
            self._keys[name] = key
        return key

    def modules(self) -> Iterator[ModuleType]:
        """Yield the service's own modules that are loaded."""
        for name, key in self._keys.copy().items():
            module = sys.modules.get(self.parked.get(name, key))
            if module is not None:
                yield module

    def hides(self, name: str) -> bool:
        """Return whether the service has its own module of that name, loaded or not, and so sees no shared one."""
        return self._has(name, is_first_look=True)

    def owns(self, name: str) -> bool:
        """Return whether an import of that name is of the service's own module. Looks into changed folders."""
        return self._has(name, is_first_look=False)

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None) -> ModuleSpec | None:
        """Return the spec of the service's own module of that name; None if it is shared or missing."""
        if not self.owns(name):
            return None
        if not self.is_open:
            raise ModuleNotFoundError(f"No module named {name!r}: its code has been replaced by newer code", name=name)
        if self._is_overlay(name):
            spec: ModuleSpec | None = ModuleSpec(name, OverlayLoader(self), is_package=True)
        elif self._is_copy(name):
            spec = self._with_own_loader(self.shared_spec(name))
        else:
            folders = self._overlays.get(name.rpartition(".")[0])
            if name == self.package:
                folders = [str(self.roots[0].parent)]
            spec = self._locate(name, folders or path)
        return None if spec is None else KeyedSpec.of(spec, self.key(name), keep_key=target is not None)

    @property
    def shared_with(self) -> ImportSystem | Site:
        """Return what knows the packages that the service shares: its site, or the whole process."""
        assert self._system is not None
        return self.site or self._system

    def is_private(self, name: str) -> bool:
        """Return True for an installed package, or what is in it, that is executed for this service."""
        head = name.partition(".")[0]
        return head in self._private or (self._system is not None and head in self.shared_with.private)

    def is_installed(self, name: str) -> bool:
        """Return True for a module of an installed package that is executed for the service."""
        return self._is_copy(name) or name.partition(".")[0] in self._installed

    def note_file(self, name: str, path: str) -> None:
        """Remember a module's file before it is loaded; called by its loader."""
        if not self.is_installed(name) or (self._sources is not None and self._sources.has_file(path)):
            self.files[name] = path

    def is_in_project(self, spec: ModuleSpec) -> bool:
        """Return True for a shared module whose source is edited in the project."""
        return self._sources is not None and bool(self.roots) and self._sources.has(spec)

    def copy_modules(self, copies: Copies) -> None:
        """Give the service its own copies of some modules in `google` from now on."""
        self._copies = copies
        if self._system is not None:
            self._system.hide(["google"], self)

    def enter_package(self) -> None:
        """Make the first root a package beside what is found in it, as for `python -m folder.module`."""
        self.package = self.roots[0].name
        self._own.add(self.package)

    def own_main(self) -> str:
        """Return the key of the service's own `__main__`, which from now on hides the process's."""
        if "__main__" not in self._own:
            self._own.add("__main__")
            if self._system is not None:
                self._system.hide(["__main__"], self)
        return self.key("__main__")

    def set_sys_attribute(self, name: str, value: Any) -> None:
        """Set what the service's code finds as that attribute of `sys`."""
        self.note_set_up()
        self.sys_attributes[name] = SearchPath(value, self._search_again) if name == "path" else value
        if name == "path":
            self._search_again()

    def end_reload(self, name: str) -> None:
        """Put a module under its key that `importlib.reload` has put under its plain name."""
        key = self.key(name)
        if key not in sys.modules:
            sys.modules[key] = sys.modules.pop(name)

    def _is_overlay(self, name: str) -> bool:
        return name in self._overlays or (self._copies is not None and self._copies.is_package(name))

    def _is_copy(self, name: str) -> bool:
        return self._copies is not None and self._copies.is_copy(name)

    def _has(self, name: str, is_first_look: bool) -> bool:
        head, _, rest = name.partition(".")
        if head in self._own or self._is_overlay(name) or self._is_copy(name):
            return True
        if head in self._overlays:
            return self._has_in_overlay(head, rest)
        if not self._may_hold(head, is_first_look):
            return self._has_private(head)
        spec = self._locate(head, None)
        if spec is None or spec.origin == mesh.__file__:
            return False
        if spec.loader is None and self._is_shared(head):
            self._overlays[head] = list(spec.submodule_search_locations or ())
            return self._has(name, is_first_look)
        self._own.add(head)
        if not is_first_look:
            # The import that follows looks no second time.
            self._found[head] = spec
        return True

    def _has_in_overlay(self, package: str, rest: str) -> bool:
        """Return True for what the service alone holds in a shared package; overlay folders that both have."""
        child, _, below = rest.partition(".")
        name = f"{package}.{child}"
        if not self._holds(self._overlays[package], child):
            return False
        if name not in self._overlays and self._is_shared(name):
            # Under its last name: a dotted one needs its parent in `sys.modules`, where it may not be yet.
            spec = PathFinder.find_spec(child, self._overlays[package])
            if spec is None or not self._is_shared_folder(name):
                return False
            if spec.loader is not None:
                return True
            self._overlays[name] = list(spec.submodule_search_locations or ())
        return name not in self._overlays or not below or self._has_in_overlay(name, below)

    def _has_private(self, head: str) -> bool:
        if not self.is_private(head) or not self._is_shared(head):
            return False
        self._own.add(head)
        self._installed.add(head)
        return True

    def _may_hold(self, head: str, is_first_look: bool) -> bool:
        """Return False for most imports, those of shared modules, from the folders' listings alone."""
        if not self._search or head in sys.builtin_module_names or FrozenImporter.find_spec(head) is not None:
            return False
        # While code is loaded the first look at each folder is good enough for what everybody has already.
        first = is_first_look or (self.is_loading and head in sys.modules)
        return any(self._directories.candidates(folder, head, first) for folder in self._search)

    def _holds(self, folders: Iterable[str], module: str) -> bool:
        return any(self._directories.candidates(folder, module) for folder in folders)

    def _locate(self, name: str, path: Sequence[str] | None) -> ModuleSpec | None:
        """Return the spec of a module of the service, as PathFinder finds it, with mesh's loader."""
        spec = self._found.pop(name, None)
        if spec is not None:
            return spec
        if name in self._installed:
            return self._with_own_loader(self.shared_spec(name))
        folders = self._search if path is None else path
        parent, _, last = name.rpartition(".")
        if last.endswith(("_pb2", "_pb2_grpc")):
            # Generated by mesh for the installed protobuf; a copy beside the code may be out of date.
            folders = [*(os.path.join(root, *parent.split(".")) for root in self.roots[1:]), *folders]
        file = self._directories.source(folders, last, self.is_loading)
        if file is not None:
            return spec_from_file_location(name, file, loader=ServiceLoader(name, file, self))
        return self._with_own_loader(PathFinder.find_spec(name, folders))

    def _with_own_loader(self, found: ModuleSpec | None) -> ModuleSpec | None:
        """Return a copy of the spec, which may be that of a module that others have loaded."""
        if found is None:
            return None
        spec = KeyedSpec.of(found, found.name)
        if isinstance(spec.loader, SourceFileLoader):
            spec.loader = ServiceLoader(spec.name, spec.loader.path, self)
        elif isinstance(spec.loader, ExtensionFileLoader):
            spec.loader = ServiceExtensionLoader(spec.name, spec.loader.path, self)
        return spec

    def _installed_path(self) -> list[str]:
        return SearchPath.shared() if self.site is None else self.site.path

    def _search_again(self) -> None:
        """Collect the service's folders: its roots, and what its code has put into `sys.path`."""
        self.note_set_up()
        shared, roots = set(self._installed_path()), set(map(str, self.roots))
        self._search = [
            os.path.abspath(e) for e in self.sys_attributes["path"] if e and (e in roots or e not in shared)
        ]
        if self.is_open:
            self.hide_shared()

    def hide_shared(self) -> None:
        """Hide shared modules from the service if its folders hold their names."""
        assert self._system is not None
        names = {name for folder in self._search for name in self._directories.names(folder)}
        self._system.hide({*names, *self._private, *self.shared_with.private}, self)

    def shared_spec(self, name: str) -> ModuleSpec | None:
        """Return the spec that all others who have the same packages find."""
        if self.site is not None and (self.site.owns(name) or not self.site.may_be_shared(name)):
            return self.site.spec(name)
        with shared_imports():
            try:
                return find_spec(name)
            except ValueError:
                # A module that has put another in its own place, as kombu does: that one has no spec.
                parent = name.rpartition(".")[0]
                return PathFinder.find_spec(name, getattr(sys.modules[parent], "__path__", None) if parent else None)

    def is_shared_package(self, name: str) -> bool:
        """Return whether all others find a package of that name."""
        try:
            spec = self.shared_spec(name)
        except (ImportError, AttributeError):
            return False
        return spec is not None and spec.submodule_search_locations is not None

    def _is_shared(self, name: str) -> bool:
        try:
            return self.shared_spec(name) is not None
        except (ImportError, AttributeError):
            return False

    def _is_shared_folder(self, name: str) -> bool:
        """Return whether all others find only a folder of that name, without `__init__.py`."""
        spec = self.shared_spec(name)
        # Not its loader: a loaded namespace package has one.
        return spec is not None and spec.origin is None
