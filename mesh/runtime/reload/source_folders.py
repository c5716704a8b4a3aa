"""The folders of a project that hold edited files, without those of tools."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

#: Written by tools, never edited.
TOOLS = frozenset(
    {".git", ".hg", ".svn", ".mesh", ".venv", ".tox", ".nox", ".idea", ".hypothesis", "__pycache__", "node_modules"}
) | {".mypy_cache", ".pytest_cache", ".ruff_cache"}

Identity = tuple[int, int]


def edited(folders: Iterable[Path]) -> dict[str, Identity]:
    """Return these folders and those below, by real path, each with what identifies it."""
    found: dict[str, Identity] = {}
    for folder in folders:
        _walk(os.path.realpath(folder), found, set())
    return found


def _walk(folder: str, found: dict[str, Identity], seen: set[Identity]) -> None:
    """Yield the folders, following links, each once."""
    try:
        status = os.stat(folder)
        identity = (status.st_dev, status.st_ino)
        if folder in found or identity in seen:
            return
        with os.scandir(folder) as entries:
            inner = [entry.path for entry in entries if entry.name not in TOOLS and entry.is_dir()]
    except OSError:
        return  # It was deleted meanwhile, or is not readable.
    if os.path.exists(os.path.join(folder, "pyvenv.cfg")):
        return
    found[folder] = identity
    seen.add(identity)
    for each in sorted(inner):
        _walk(each, found, seen)


def files_in(folders: Iterable[str]) -> set[str]:
    """Return the entries directly in these folders."""
    found: set[str] = set()
    for folder in folders:
        try:
            with os.scandir(folder) as entries:
                found |= {entry.path for entry in entries if entry.is_file()}
        except OSError:
            continue
    return found
