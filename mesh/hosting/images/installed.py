"""Finds the programs that this machine has."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

#: Where systems keep programs that they do not put on PATH.
_FOLDERS = (
    "/usr/lib/postgresql/*/bin",
    "/opt/homebrew/opt/postgresql*/bin",
    "/usr/local/opt/postgresql*/bin",
    "/usr/sbin",
)


def installed(name: str) -> str | None:
    """Return the path of a program, on PATH or in one of the folders that systems keep it in."""
    if (found := shutil.which(name)) is not None:
        return found
    places = [place for folder in _FOLDERS for place in sorted(Path("/").glob(folder[1:]), reverse=True)]
    return shutil.which(name, path=os.pathsep.join(map(str, places)))
