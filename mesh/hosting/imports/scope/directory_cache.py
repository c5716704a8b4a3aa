"""Caches the names of folders' files: a cheap answer for most modules that are looked for."""

from __future__ import annotations

import os
from collections.abc import Iterable
from importlib.machinery import all_suffixes

Names = frozenset[str]

_NONE: Names = frozenset()
#: Of an archive, say.
_UNKNOWN: Names = frozenset({"?"})


class DirectoryCache:
    """The names in each folder; read again when the folder has changed."""

    def __init__(self) -> None:
        self._read: dict[str, tuple[int, dict[str, Names]]] = {}

    def candidates(self, folder: str, module: str, first: bool = False) -> Names:
        """Return the names in the folder that may be the module: `module`, `module.py`, ...

        A placeholder if it cannot be listed, such as an archive. first: whether the listing of the first look will do:
        each further look hands the GIL to other threads.
        """
        known = self._read.get(folder)
        if not (first and known):
            try:
                changed = os.stat(folder).st_mtime_ns
                if known is None or known[0] != changed:
                    known = self._read[folder] = changed, _by_module(os.listdir(folder))
            except FileNotFoundError:
                return _NONE
            except OSError:
                return _UNKNOWN
        return known[1].get(module, _NONE)

    def names(self, folder: str) -> Iterable[str]:
        """Return the names of the modules that the folder may hold; none if it is not a folder."""
        self.candidates(folder, "")
        return self._read[folder][1] if folder in self._read else ()

    def source(self, folders: Iterable[str], module: str, first: bool = False) -> str | None:
        """Return the path of the module's source file; None unless that is certain."""
        for folder in folders:
            names = self.candidates(folder, module, first)
            if names:
                return os.path.join(folder, f"{module}.py") if names == {f"{module}.py"} else None
        return None


def _by_module(names: Iterable[str]) -> dict[str, Names]:
    """Return the names of folders and importable files: a `mesh.toml` must not hide mesh."""
    suffixes = {"", *all_suffixes()}
    found: dict[str, Names] = {}
    for name in names:
        module, dot, rest = name.partition(".")
        if dot + rest in suffixes:
            found[module] = found.get(module, _NONE) | {name}
    return found
