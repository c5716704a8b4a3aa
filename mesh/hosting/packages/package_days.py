"""The days whose packages requirements were installed with, kept in .mesh/venvs/days.json."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from datetime import date
from pathlib import Path
from typing import Any

from msgspec import Struct

from mesh.hosting.packages.requirement_files import RequirementFiles

_NAME = "days.json"


class PackageDay(Struct, frozen=True):
    """day: None for the newest packages. is_named: by the user, as opposed to the day of a commit."""

    day: date | None = None
    is_named: bool = False


def package_day(venvs: Path, files: RequirementFiles) -> PackageDay | None:
    """Return what is kept for these files, whatever they require now; None if nothing was installed for them."""
    with suppress(KeyError, TypeError, ValueError):
        kept = _read(venvs)[_key(venvs, files)]
        return PackageDay(date.fromisoformat(kept["day"]) if kept["day"] else None, bool(kept["is_named"]))
    return None


def keep(venvs: Path, files: RequirementFiles, kept: PackageDay) -> None:
    entry = {"day": None if kept.day is None else str(kept.day), "is_named": kept.is_named}
    written = venvs / f"{_NAME}.new"
    written.write_text(json.dumps({**_read(venvs), _key(venvs, files): entry}, indent=1) + "\n")
    written.replace(venvs / _NAME)  # at once: a mesh that starts may read it


def _key(venvs: Path, files: RequirementFiles) -> str:
    """Return the files as they are found from the project, which may be moved."""
    return f"{os.path.relpath(files.folder, venvs.parent.parent)}: {files.names()}"


def _read(venvs: Path) -> dict[str, Any]:
    with suppress(OSError, ValueError):
        found = json.loads((venvs / _NAME).read_text())
        return found if isinstance(found, dict) else {}
    return {}
