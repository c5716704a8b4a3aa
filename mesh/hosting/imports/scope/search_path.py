"""`sys.path` as each service sees it: its roots first, and what it puts there is searched for it alone."""

from __future__ import annotations

import os
import sys
import zipimport
from collections.abc import Callable, Iterable, Sequence
from typing import Any


class SearchPath(list[str]):
    """A list that tells when it has changed."""

    def __init__(self, entries: Iterable[str], on_change: Callable[[], None]) -> None:
        super().__init__(entries)
        self._on_change = on_change

    @staticmethod
    def shared() -> list[str]:
        """The path of the process itself."""
        found: list[str] = sys.__dict__["path"]
        return found


def _telling(name: str) -> Any:
    change = getattr(list, name)

    def method(self: SearchPath, *args: Any, **options: Any) -> Any:
        result = change(self, *args, **options)
        self._on_change()
        return result

    method.__name__ = name
    return method


for _name in ("append", "extend", "insert", "remove", "pop", "clear", "reverse", "sort"):
    setattr(SearchPath, _name, _telling(_name))
for _name in ("__setitem__", "__delitem__", "__iadd__", "__imul__"):
    setattr(SearchPath, _name, _telling(_name))


def forget_finders(folders: Sequence[str]) -> None:
    """Make the import system list these folders again.

    It keeps their listings by a clock of milliseconds; a file may be newer than that.
    """
    below = tuple(f"{folder}{os.sep}" for folder in folders)
    for entry in list(sys.path_importer_cache):
        if (entry in folders or entry.startswith(below)) and entry not in SearchPath.shared():
            sys.path_importer_cache.pop(entry, None)
    for folder in folders:
        if folder not in sys.path_importer_cache and os.path.isdir(folder):
            sys.path_importer_cache[folder] = _folder_finder(folder)


def _folder_finder(folder: str) -> Any:
    """Return the finder that the import system would use, without asking first if the folder is an archive."""
    for hook in sys.path_hooks:
        if hook is not zipimport.zipimporter:
            try:
                return hook(folder)
            except ImportError:
                continue
    return None
