"""How a service's module is found and executed: from its real file, with the builtins of its own world."""

from __future__ import annotations

import importlib.util
import os
import sys
import time
import zipimport
from collections.abc import Sequence
from importlib.abc import Loader
from importlib.machinery import ExtensionFileLoader, ModuleSpec, NamespaceLoader, PathFinder, SourceFileLoader
from pathlib import Path
from threading import Lock
from types import CodeType, ModuleType
from typing import Any, Protocol

from mesh.hosting.extensions import Identity, Notes, ServiceExtensionLoader, identity

#: Seconds. Bytecode remembers its source's time in whole seconds: what is younger could change again unseen.
SETTLED = 2.0


class Home(Notes, Protocol):
    """What the finder and the loader ask of a generation."""

    prefix: str
    builtins: dict[str, Any]
    found: dict[str, ModuleSpec]

    def search(self) -> list[str]:
        """The folders of its top-level modules."""

    def source(self, name: str, folders: Sequence[str]) -> str | None:
        """The source file that a module in these folders is, where it is beyond doubt."""


class ServiceLoader(SourceFileLoader):
    """A SourceFileLoader whose modules see their world's builtins, and which never believes stale bytecode."""

    def __init__(self, fullname: str, path: str, world: Home) -> None:
        super().__init__(fullname, path)
        self.world = world

    def exec_module(self, module: ModuleType) -> None:
        self.world.loading(module.__name__, self.path)
        module.__dict__["__builtins__"] = self.world.builtins
        super().exec_module(module)

    def get_code(self, fullname: str) -> CodeType | None:
        """As ever; what an earlier generation ran from the very same file is not read again, nor is its bytecode."""
        same = identity(self.path)
        finder = _present()
        kept = finder.codes.get(self.path) if finder is not None else None
        if kept is not None and kept[0] == same:
            return kept[1]
        code = super().get_code(fullname)
        if code is not None and finder is not None and time.time() - max(same[:2]) / 1e9 >= SETTLED:
            finder.codes[self.path] = (same, code)
        return code

    def get_data(self, path: str) -> bytes:
        if path.endswith(".pyc") and os.stat(path).st_mtime_ns <= _came(self.path):
            raise OSError(f"{path} is older than its source")
        return super().get_data(path)

    def set_data(self, path: str, data: bytes, *, _mode: int = 0o666) -> None:  # type: ignore[override]  # typeshed has no _mode
        if time.time() - _came(self.path) / 1e9 >= SETTLED:
            super().set_data(path, data, _mode=_mode)


def _came(path: str) -> int:
    """Nanoseconds: when the file was written, or put into the place of another with all that it had been."""
    status = os.stat(path)
    return max(status.st_mtime_ns, status.st_ctime_ns)


class WorldFinder:
    """The one entry of `sys.meta_path` that finds modules below private prefixes; it is there while a world is."""

    def __init__(self) -> None:
        self.worlds: dict[str, Home] = {}
        #: The code of each file that has settled, with what tells that file from another in its place.
        self.codes: dict[str, tuple[Identity, CodeType]] = {}

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if not fullname.startswith("mesh_"):
            return None
        head, dot, rest = fullname.partition(".")
        world = self.worlds.get(head)
        if world is not None:
            return None if path is None else find_in(world, fullname, path)
        heirs = [each.prefix for each in list(self.worlds.values()) if _stem(each.prefix) == _stem(head)]
        return ModuleSpec(fullname, _Heir(f"{heirs[-1]}{dot}{rest}")) if heirs else None


class _Heir(Loader):
    """What a pickle calls by the name of a generation that is gone, or of another run, is the newest one's module."""

    def __init__(self, name: str) -> None:
        self._name = name

    def create_module(self, spec: ModuleSpec) -> None:
        return None

    def exec_module(self, module: ModuleType) -> None:
        sys.modules[module.__name__] = importlib.import_module(self._name)


def _stem(prefix: str) -> str:
    """A prefix without its number."""
    return prefix.rstrip("_").rstrip("0123456789")


def forget(world: Home) -> None:
    """Takes the world's modules out of `sys.modules`, under whatever name they are there."""
    below = f"{world.prefix}."
    for name, module in list(sys.modules.items()):
        if name.startswith(below) or str(getattr(module, "__dict__", {}).get("__name__")).startswith(below):
            sys.modules.pop(name, None)


def find_in(world: Home, fullname: str, path: Sequence[str]) -> ModuleSpec | None:
    """The spec of a module of that world, as PathFinder finds it, with a loader of ours."""
    spec = world.found.pop(fullname, None)
    if spec is not None:
        return spec
    folders = world.search() if fullname.count(".") == 1 else path
    file = world.source(fullname.rpartition(".")[2], folders)
    if file is not None:
        return importlib.util.spec_from_file_location(fullname, file, loader=ServiceLoader(fullname, file, world))
    spec = PathFinder.find_spec(fullname, folders)
    if spec is not None and isinstance(spec.loader, SourceFileLoader):
        spec.loader = ServiceLoader(fullname, spec.loader.path, world)
    elif spec is not None and isinstance(spec.loader, ExtensionFileLoader):
        spec.loader = ServiceExtensionLoader(fullname, spec.loader.path, world)
    return spec


_lock = Lock()


def admit(world: Home) -> None:
    """Makes the modules below the world's prefix importable."""
    with _lock:
        finder = _present()
        if finder is None:
            finder = WorldFinder()
            # In front: PathFinder would find the same files, and run them with everybody's builtins.
            sys.meta_path.insert(0, finder)
        finder.worlds[world.prefix] = world


def dismiss(world: Home) -> None:
    """The opposite; with the last world goes the finder."""
    with _lock:
        finder = _present()
        if finder is not None:
            finder.worlds.pop(world.prefix, None)
            if not finder.worlds:
                sys.meta_path.remove(finder)


def _present() -> WorldFinder | None:
    return next((finder for finder in sys.meta_path if isinstance(finder, WorldFinder)), None)


def claim(prefix: str, roots: Sequence[Path]) -> ModuleType:
    """Puts the private package into `sys.modules`, under a longer name where that is taken; without roots nowhere."""
    while True:
        loader = NamespaceLoader(prefix, [str(root) for root in roots], lambda name, path: None)
        spec = ModuleSpec(prefix, loader, is_package=True)
        spec.submodule_search_locations = loader._path  # type: ignore[attr-defined]  # what resource readers know it by
        package = importlib.util.module_from_spec(spec)
        if not roots or sys.modules.setdefault(prefix, package) is package:
            return package
        prefix += "_"


def forget_listings(roots: Sequence[str]) -> None:
    """The import system keeps folders' listings by a clock of milliseconds; a file may be newer than that."""
    below = tuple(f"{root}{os.sep}" for root in roots)
    for entry in list(sys.path_importer_cache):
        if (entry in roots or entry.startswith(below)) and entry not in sys.path:
            sys.path_importer_cache.pop(entry, None)
    for root in roots:
        if root not in sys.path_importer_cache and os.path.isdir(root):
            sys.path_importer_cache[root] = _folder_finder(root)


def _folder_finder(folder: str) -> Any:
    """What the import system would come to, without its asking first whether the folder is an archive."""
    for hook in sys.path_hooks:
        if hook is not zipimport.zipimporter:
            try:
                return hook(folder)
            except ImportError:
                continue
    return None
