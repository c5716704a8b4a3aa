"""Tells what is installed in a virtual environment from the names in it, so that equal ones share their packages."""

from __future__ import annotations

import os
from collections.abc import Iterator

from mesh.virtualenv import Virtualenv

#: What no service imports, and what environments made by different tools differ in.
_IGNORED = ("__pycache__", "_virtualenv.py", "_virtualenv.pth", "distutils-precedence.pth", "pip")

Contents = frozenset[tuple[str, int]]


def contents_of(virtualenv: Virtualenv) -> Contents | None:
    """Return its distributions with their versions, and the names and sizes of what lies beside them.

    None if that does not tell two environments apart: nothing is installed, or something by a link to its source.
    """
    try:
        found = frozenset(each for folder in virtualenv.packages for each in _entries(os.fspath(folder)))
    except (OSError, ValueError):
        return None
    return found if any(name.endswith(".dist-info") for name, _ in found) else None


def _entries(folder: str) -> Iterator[tuple[str, int]]:
    """Yield each name, with the size of a file and 0 for a folder; raises ValueError for a link to a source."""
    with os.scandir(folder) as entries:
        for entry in entries:
            name = entry.name
            if name in _IGNORED or name.startswith("pip-"):
                continue
            is_link = name.endswith((".pth", ".egg-link")) or os.path.exists(
                os.path.join(entry.path, "direct_url.json")
            )
            if is_link:
                raise ValueError(f"{entry.path} may lead anywhere")
            yield name, entry.stat().st_size if entry.is_file() else 0
