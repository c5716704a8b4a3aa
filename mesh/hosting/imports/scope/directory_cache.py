"""Which modules a folder can hold, by the names of its files: a cheap answer for most of those that are looked for."""

from __future__ import annotations

import os
from collections.abc import Iterable

Names = frozenset[str]

_NONE: Names = frozenset()
#: Of an archive, say.
_UNKNOWN: Names = frozenset({"?"})


class DirectoryCache:
    """Of each folder its names; read again when the folder has changed."""

    def __init__(self) -> None:
        self._read: dict[str, tuple[int, dict[str, Names]]] = {}

    def candidates(self, folder: str, module: str, first: bool = False) -> Names:
        """The names of files and folders by which it may hold the module: `module`, `module.…`.

        Some name or other where it is no folder. first: whether the folder as it was at the first look will do: each
        further one hands the GIL to other threads.
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
        """Of the modules that it may hold; none where it is no folder."""
        self.candidates(folder, "")
        return self._read[folder][1] if folder in self._read else ()

    def source(self, folders: Iterable[str], module: str, first: bool = False) -> str | None:
        """The path of the source file that the module is, where that is beyond doubt."""
        for folder in folders:
            names = self.candidates(folder, module, first)
            if names:
                return os.path.join(folder, f"{module}.py") if names == {f"{module}.py"} else None
        return None


def _by_module(names: Iterable[str]) -> dict[str, Names]:
    found: dict[str, Names] = {}
    for name in names:
        module = name.partition(".")[0]
        found[module] = found.get(module, _NONE) | {name}
    return found
