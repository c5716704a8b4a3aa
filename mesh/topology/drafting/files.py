"""The files of a project that may show what it runs, without those of tools, environments and tests."""

from __future__ import annotations

import os
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

_SKIPPED = {"__pycache__", "node_modules", "site-packages", "venv", "env", "build", "dist", "tests", "test", "docs"}
#: Enough for any project; a home folder is not read to its end.
_MOST_FOLDERS = 3000


def files_below(folder: Path, ending: str) -> Iterator[Path]:
    """Yield files with this ending, except those of tools, environments and tests; nearest first."""
    for place, folders, files in islice(os.walk(folder), _MOST_FOLDERS):
        folders[:] = sorted(
            name
            for name in folders
            if not name.startswith(".") and name not in _SKIPPED and not os.path.exists(f"{place}/{name}/pyvenv.cfg")
        )
        yield from (Path(place) / name for name in sorted(files) if name.endswith(ending))


def is_test(file: Path) -> bool:
    return file.name.startswith("test_") or file.name.endswith("_test.py") or file.name == "conftest.py"


def beside_code(root: Path) -> list[str]:
    """Return the patterns of what a service's code usually reads beside it.

    Of a folder `data` these are the JSON files: a database in it is written to while the service runs.
    """
    found = ["templates"] if (root / "templates").is_dir() else []
    return [*found, "data/**/*.json"] if next((root / "data").glob("**/*.json"), None) is not None else found


def relative(path: Path, folder: Path) -> str:
    """Return the path as mesh.toml in `folder` writes it."""
    return Path(os.path.relpath(path, folder)).as_posix()


def required_from(root: Path, line: str) -> str:
    """Return a line of requirements with its file or folder relative to the root."""
    option, space, place = line.partition(" ")
    return f"{option} {relative(Path(place), root)}" if space and place.startswith("/") else line
