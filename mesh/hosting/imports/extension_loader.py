"""A service's own C extensions: a file is loaded once in a process and shared; a changed one is loaded from a copy.

The system keeps a library until the process ends, and returns it again for that path: what a compiler has put there
since is reached under another path only. Installed packages are not loaded here; they are shared as ever.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from importlib.machinery import EXTENSION_SUFFIXES, ExtensionFileLoader, ModuleSpec
from pathlib import Path
from threading import RLock
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mesh.hosting.imports.scope.import_scope import ImportScope


Identity = tuple[int, ...]

#: What each path was loaded as, last; None where that failed. As old as the process, as the libraries themselves are.
_loaded: dict[str, tuple[Identity, ModuleType | None]] = {}
_lock = RLock()


def identity(path: str) -> Identity:
    """Return what tells a file from another one in its place."""
    status = os.stat(path)
    return status.st_mtime_ns, status.st_ctime_ns, status.st_size, status.st_ino


def is_extension(file: Path) -> bool:
    """Return whether this Python would import the file as an extension module."""
    return file.name.endswith(tuple(EXTENSION_SUFFIXES))


class ServiceExtensionLoader(ExtensionFileLoader):
    """Gives a later generation, and another service with the same file, the module that there is.

    Python executes a library's module once, however often it is asked to.
    """

    def __init__(self, name: str, path: str, scope: ImportScope) -> None:
        super().__init__(name, path)
        self._scope = scope

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        self._scope.note_file(self.name, self.path)
        module, now = self._shared_module(spec)
        self._scope.records.add_library(self.name, module, self.path, now)
        return module

    def _shared_module(self, spec: ModuleSpec) -> tuple[ModuleType, Identity]:
        with _lock:
            now, real = identity(self.path), os.path.realpath(self.path)
            before = _loaded.get(real)
            if before is not None and before[0] == now and before[1] is not None:
                return before[1], now
            _loaded[real] = (now, None)
            # The first from where it lies: libraries that it needs may lie beside it.
            module = super().create_module(spec) if before is None else self._created_from_a_copy(spec, now)
            _loaded[real] = (now, module)
            return module, now

    def _created_from_a_copy(self, spec: ModuleSpec, now: Identity) -> ModuleType:
        with tempfile.TemporaryDirectory(prefix="mesh-") as folder:
            copy = os.path.join(folder, os.path.basename(self.path))
            shutil.copyfile(self.path, copy)
            if identity(self.path) != now:
                raise ImportError(f"{self.path} is still being written", name=spec.name, path=self.path)
            module = super().create_module(ModuleSpec(spec.name, self, origin=copy))
        module.__file__ = self.path
        return module
