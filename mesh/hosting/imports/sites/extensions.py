"""Extension modules of sites: a file that another site or mesh has loaded already is loaded from a copy.

An installer may put one file into many environments (hard links, as uv does). The system's loader would give the second
one the library that is there, with the first one's state in it.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Callable
from importlib.machinery import ExtensionFileLoader, ModuleSpec
from threading import RLock
from types import ModuleType
from typing import Any

_lock = RLock()
#: The path by which each file was loaded, by device and number.
_loaded: dict[tuple[int, int], str] = {}
#: Called with the name of an extension of which the process has one from another file; set by `mesh up`.
on_second_copy: Callable[[str], object] = str


def site_loader(loader: Any) -> Any:
    """Return the loader for a module of a site, given that of Python."""
    return SiteExtensionLoader(loader.name, loader.path) if type(loader) is ExtensionFileLoader else loader


class SiteExtensionLoader(ExtensionFileLoader):
    """Loads a library under another name in the system if it is there already."""

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        with _lock:
            if self._is_second_copy():
                on_second_copy(self.name)
            if _loaded.setdefault(_number(self.path), self.path) == self.path:
                return super().create_module(spec)
            with tempfile.TemporaryDirectory(prefix="mesh-") as folder:
                copy = os.path.join(folder, os.path.basename(self.path))
                shutil.copyfile(self.path, copy)
                module = super().create_module(ModuleSpec(spec.name, self, origin=copy))
            module.__file__ = self.path
            return module

    def _is_second_copy(self) -> bool:
        """Return whether the process has a module of this name; remembers the files of others as loaded."""
        found = False
        # Not a list of the items: making their pairs may start a collection, during which another thread may import.
        for name, module in sys.modules.copy().items():
            file = getattr(module, "__dict__", {}).get("__file__")
            if isinstance(file, str) and os.path.basename(file) == os.path.basename(self.path) and file != self.path:
                _loaded.setdefault(_number(file), file)
                found = found or "".join(name) == self.name
        return found


def _number(path: str) -> tuple[int, int]:
    try:
        status = os.stat(path)
    except OSError:
        return 0, 0
    return status.st_dev, status.st_ino
