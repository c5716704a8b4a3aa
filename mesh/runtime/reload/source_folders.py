"""The folders of a project in which somebody edits, those of tools left out."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

#: Written by tools, and of no interest to whoever waits for an edit.
TOOLS = frozenset(
    {".git", ".hg", ".svn", ".mesh", ".venv", ".tox", ".nox", ".idea", ".hypothesis", "__pycache__", "node_modules"}
) | {".mypy_cache", ".pytest_cache", ".ruff_cache"}

Identity = tuple[int, int]


def edited(folders: Iterable[Path]) -> dict[str, Identity]:
    """Every folder below these, and each of them, by its real path: with what tells it from another of that name."""
    found: dict[str, Identity] = {}
    for folder in folders:
        _walk(os.path.realpath(folder), found, set())
    return found


def _walk(folder: str, found: dict[str, Identity], seen: set[Identity]) -> None:
    """Links are followed, each folder once."""
    try:
        status = os.stat(folder)
        identity = (status.st_dev, status.st_ino)
        if folder in found or identity in seen:
            return
        with os.scandir(folder) as entries:
            inner = [entry.path for entry in entries if entry.name not in TOOLS and entry.is_dir()]
    except OSError:
        return  # It went while we looked, or is not ours to read.
    if os.path.exists(os.path.join(folder, "pyvenv.cfg")):
        return
    found[folder] = identity
    seen.add(identity)
    for each in sorted(inner):
        _walk(each, found, seen)


def files_in(folders: Iterable[str]) -> set[str]:
    """What stands in these folders themselves."""
    found: set[str] = set()
    for folder in folders:
        try:
            with os.scandir(folder) as entries:
                found |= {entry.path for entry in entries if entry.is_file()}
        except OSError:
            continue
    return found
