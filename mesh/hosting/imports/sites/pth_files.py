"""Reads the .pth files of a site-packages folder, as the interpreter does at its start: editable installs, mostly."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any


def pth_lines(folder: Path) -> Iterator[tuple[Path, str]]:
    """Yield each line that says something, with its file, in the order of the files' names."""
    for file in sorted(folder.glob("*.pth")):
        try:
            lines = file.read_text(encoding="utf-8-sig", errors="replace").splitlines()
        except OSError:
            continue
        for line in lines:
            if line.strip() and not line.startswith("#"):
                yield file, line.rstrip()


def is_code(line: str) -> bool:
    """Return True for a line that is executed; any other names a folder."""
    return line.startswith(("import ", "import\t"))


def execute_line(line: str, folder: Path) -> None:
    """Execute the line as `site` does: old namespace packages look into its frame for `sitedir`."""
    sitedir = str(folder)
    exec(line, {"__name__": "site", "__builtins__": __builtins__}, {"sitedir": sitedir})


def added_folder(line: str, folder: Path) -> str | None:
    """Return the folder that the line names; None if there is none."""
    path = os.path.abspath(os.path.join(folder, line))
    return path if os.path.exists(path) else None


def new_finders(before: list[Any]) -> tuple[list[Any], list[Any]]:
    """Take the finders that code has put into `sys.meta_path` out again: those at its front, and the others."""
    now = list(sys.meta_path)
    sys.meta_path[:] = [each for each in now if any(each is one for one in before)]
    known = next((index for index, each in enumerate(now) if any(each is one for one in before)), len(now))
    return now[:known], [each for each in now[known:] if not any(each is one for one in before)]
