"""The packages of one virtual environment: executed once, shared by all services and generations on it."""

from __future__ import annotations

import contextlib
import os
import sys
import sysconfig
from collections.abc import Iterable, Iterator, Sequence
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from threading import RLock
from types import ModuleType
from typing import TYPE_CHECKING, Any

from mesh.compat.importlib import ask_finder
from mesh.hosting.import_hooks import ImportHooks
from mesh.hosting.imports.module_keys import ModuleKey, ParkedKey, SiteKey, shared_imports
from mesh.hosting.imports.scope.directory_cache import DirectoryCache
from mesh.hosting.imports.scope.search_path import SearchPath
from mesh.hosting.imports.sites.common_packages import GOOGLE, common_packages
from mesh.hosting.imports.sites.contents import Contents, contents_of
from mesh.hosting.imports.sites.pth_files import added_folder, execute_line, is_code, new_finders, pth_lines
from mesh.virtualenv import PROCESS_PACKAGES, Virtualenv

if TYPE_CHECKING:
    from mesh.hosting.imports.import_system import ImportSystem

_lock = RLock()
#: As old as the process: many an extension module crashes it if it is loaded a second time.
_sites: dict[tuple[str, ...], Site] = {}

_STANDARD = sys.stdlib_module_names | {*sys.builtin_module_names}


class Site:
    """Finds the modules of a virtual environment, the standard library apart; what is missing there is missing.

    Of mesh's own environment its services see mesh, and the packages in common (common_packages.py).

    service_name: the name by which its keys are told from those of services. sys_attributes: what its code finds on
        `sys`. module_locks: see module_locks.py. private: see ImportSystem.
    """

    def __init__(self, virtualenv: Virtualenv, contents: Contents | None = None) -> None:
        self.virtualenv = virtualenv
        self._contents = contents
        self.folders = list(map(str, virtualenv.packages))
        self.service_name = self.folders[0] if self.folders else str(virtualenv.prefix)
        self.parked: dict[str, ParkedKey] = {}
        self.module_locks: dict[str, Any] = {}
        self.private: set[str] = set()
        self.sys_attributes: dict[str, Any] = {
            "path": [*_standard_library(), *self.folders],
            **python_attributes(virtualenv),
        }
        self._common = tuple(f"{name}." for name in common_packages(virtualenv))
        self._directories = DirectoryCache()
        self._first_finders: list[Any] = []
        self._finders: list[Any] = []
        #: Top-level names that its services do not share with the process.
        self._heads: set[str] = set()
        self._hidden: dict[str, bool] = {}
        self._keys: dict[str, ModuleKey] = {}
        #: Its modules while no service is there, by name.
        self._kept: dict[str, ModuleType] = {}
        self._system: ImportSystem | None = None
        self._has_read_pth_files = False
        self._lock = RLock()

    @staticmethod
    def of(virtualenv: Virtualenv) -> Site:
        """Return the site of the environment, the same one for all that use it, or one with the same packages."""
        key = tuple(os.path.realpath(folder) for folder in virtualenv.packages)
        with _lock:
            if key not in _sites:
                contents = contents_of(virtualenv)
                equal = (each for each in _sites.values() if contents is not None and each.has(contents, virtualenv))
                _sites[key] = next(equal, None) or Site(virtualenv, contents)
            return _sites[key]

    def has(self, contents: Contents, virtualenv: Virtualenv) -> bool:
        """Return whether it has these packages, for the Python of that environment."""
        return self._contents == contents and self.virtualenv.version == virtualenv.version

    @property
    def path(self) -> list[str]:
        """Its `sys.path`."""
        found: list[str] = self.sys_attributes["path"]
        return found

    def attach(self, system: ImportSystem) -> None:
        """Make its modules importable, by services on it."""
        with self._lock:
            if self._system is system:
                return
            self._system = system
            for name, module in self._kept.items():
                sys.modules[self.key(name)] = module
                ImportHooks.call_back(module)
            self._kept.clear()
            self._hide({*self._names(self._searched()), *self._names(PROCESS_PACKAGES)})
            if not self._has_read_pth_files:
                self._has_read_pth_files = True
                self._read_pth_files()

    def detach(self) -> None:
        """Keep the modules until the next service on it."""
        with self._lock:
            for name, key in self._keys.items():
                module = sys.modules.get(self.parked.get(name, key))
                if module is not None:
                    self._kept[name] = module
                key.entry.remove(key)
            self._keys.clear()
            self._system = None

    def key(self, name: str) -> ModuleKey:
        """Return the key of its module of that name in `sys.modules`."""
        key = self._keys.get(name)
        if key is None:
            assert self._system is not None
            with self._lock:
                key = self._keys.get(name) or self._system.entry(name).add(self, SiteKey)
                self._keys[name] = key
        return key

    def modules(self) -> Iterator[tuple[str, ModuleType]]:
        """Yield its modules that are loaded, with their names."""
        for name in list(self._keys):
            module = self.loaded(name)
            if module is not None:
                yield name, module

    def loaded(self, name: str) -> ModuleType | None:
        """Return its module of that name; None if it has none, or it is not loaded."""
        key = self._keys.get(name)
        return None if key is None else sys.modules.get(self.parked.get(name, key))

    def hides(self, name: str) -> bool:
        """Return whether services on it see none of the process's modules of that name: they have another, or none."""
        found = self._hidden.get(name)
        if found is None:
            head = name.partition(".")[0]
            found = self._hidden[name] = head in self._heads and not self._leaves_to_process(name)
        return found

    def owns(self, name: str) -> bool:
        """Return the same; looks whether it has been installed since."""
        head = name.partition(".")[0]
        if head not in self._heads and not self.may_be_shared(name) and self._find_top(head) is not None:
            self._hide([head])
        return self.hides(name)

    def may_be_shared(self, name: str) -> bool:
        """Return True for what its services see of the process's modules."""
        head = name.partition(".")[0]
        return head in _STANDARD or head == "mesh" or self._leaves_to_process(name)

    def spec(self, name: str) -> ModuleSpec | None:
        """Return the spec of its module with the loader that Python gives it; None if it has none. Imports nothing."""
        parent = name.rpartition(".")[0]
        if not parent:
            return self._find_top(name)
        above = self.spec(parent)
        if above is None or above.submodule_search_locations is None:
            return None
        return self.find(name, list(above.submodule_search_locations))

    def find(self, name: str, path: Sequence[str] | None) -> ModuleSpec | None:
        """Return the same for a module whose parent is there. path: its parent's."""
        if path is None:
            return self._find_top(name)
        try:
            spec = PathFinder.find_spec(name, path)
        except KeyError:
            spec = _namespace(name, path)
        return spec or self._ask((*self._first_finders, *self._finders), name, path)

    def _find_top(self, name: str) -> ModuleSpec | None:
        spec = self._ask(self._first_finders, name, None)
        if spec is None and any(self._directories.candidates(folder, name) for folder in self._searched()):
            spec = PathFinder.find_spec(name, self._searched())
        if spec is None:
            spec = self._ask(self._finders, name, None)
        if spec is not None and spec.loader is None and spec.submodule_search_locations is not None:
            # A namespace package's own list would be computed again by the `sys.path` of whoever asks.
            spec.submodule_search_locations = list(spec.submodule_search_locations)
        return spec

    def _ask(self, finders: Sequence[Any], name: str, path: Sequence[str] | None) -> ModuleSpec | None:
        for finder in finders:
            if (spec := ask_finder(finder, name, path, None)) is not None:
                return spec
        return None

    def _searched(self) -> list[str]:
        """Return its folders, and those that its .pth files and its code have added."""
        standard = {*_standard_library()}
        return [each for each in self.path if each not in standard]

    def _names(self, folders: Sequence[str]) -> Iterator[str]:
        for folder in folders:
            yield from (name for name in self._directories.names(folder) if name.isidentifier())

    def _hide(self, heads: Iterable[str]) -> None:
        """Hide the process's modules of these names: those that it has, and those of mesh's packages."""
        assert self._system is not None
        self._heads.update(name for name in heads if name not in _STANDARD and name != "mesh")
        self._hidden.clear()
        self._system.hide(self._heads, self)

    def _leaves_to_process(self, name: str) -> bool:
        """Return True for the packages in common, and for `google` if it holds nothing else."""
        if name == "google":
            in_common = self._leaves_to_process("google.protobuf")
            return in_common and all(part in GOOGLE or part.startswith("__") for part in self._parts_of("google"))
        return f"{name}.".startswith(self._common)

    def _parts_of(self, package: str) -> Iterator[str]:
        """Yield the names in a package's folders."""
        for folder in self._searched():
            with contextlib.suppress(OSError):
                yield from os.listdir(os.path.join(folder, package))

    def _read_pth_files(self) -> None:
        """Add the folders and finders of its .pth files: editable installs, and namespace packages of old."""
        before = list(sys.meta_path)
        for folder in map(Path, list(self.folders)):
            for file, line in pth_lines(folder):
                with shared_imports(self, is_executing=True):
                    self._read_pth_line(file, line, folder)
        first, last = new_finders(before)
        self._first_finders += first
        self._finders += last
        self._hide([*self._names(self._searched()), *self._mapped_names()])

    def _read_pth_line(self, file: Path, line: str, folder: Path) -> None:
        if not is_code(line):
            added = added_folder(line, folder)
            if added is not None and added not in self.path:
                self.path.append(added)
            return
        try:
            execute_line(line, folder)
        except Exception as error:  # as `site` does, which goes on with the next file
            print(f"{file}: {type(error).__name__}: {error}", file=sys.stderr)

    def _mapped_names(self) -> Iterator[str]:
        """Yield the names of packages that setuptools has installed editable, by finders of its own."""
        for finder in (*self._first_finders, *self._finders):
            module = sys.modules.get(getattr(finder, "__module__", ""))
            yield from getattr(module, "MAPPING", ())


def python_attributes(virtualenv: Virtualenv) -> dict[str, str]:
    """Return what `sys` says of the environment's Python."""
    if virtualenv.python is None:
        return {}
    prefix = str(virtualenv.prefix)
    return {"executable": str(virtualenv.python), "prefix": prefix, "exec_prefix": prefix}


def _namespace(name: str, path: Sequence[str]) -> ModuleSpec | None:
    """Return the spec of a folder without `__init__.py` whose parent is not loaded: Python's own asks that for more."""
    found = PathFinder.find_spec(name.rpartition(".")[2], path)
    if found is None:
        return None
    spec = ModuleSpec(name, None, is_package=True)
    spec.submodule_search_locations = list(found.submodule_search_locations or ())
    return spec


def _standard_library() -> list[str]:
    """Return the folders of the standard library, as they stand on the process's `sys.path`."""
    places = {sysconfig.get_path("stdlib"), sysconfig.get_path("platstdlib")}
    version = "".join(map(str, sys.version_info[:2]))
    return [
        each
        for each in SearchPath.shared()
        if each in places or os.path.dirname(each) in places or os.path.basename(each) == f"python{version}.zip"
        if os.path.basename(each) not in ("site-packages", "dist-packages")
    ]
