"""The day whose packages the requirements of a folder were installed with, kept in .mesh/venvs/days.json."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from datetime import date
from pathlib import Path

_NAME = "days.json"


def is_known(venvs: Path, folder: Path) -> bool:
    """Return whether something was installed for the folder."""
    return _key(venvs, folder) in _read(venvs)


def day_of(venvs: Path, folder: Path) -> date | None:
    """Return the day; None for the newest packages."""
    with suppress(TypeError, ValueError):
        return date.fromisoformat(_read(venvs).get(_key(venvs, folder)) or "")
    return None


def keep_day(venvs: Path, folder: Path, day: date | None) -> None:
    days = {**_read(venvs), _key(venvs, folder): None if day is None else str(day)}
    (venvs / _NAME).write_text(json.dumps(days, indent=1) + "\n")


def _key(venvs: Path, folder: Path) -> str:
    """Return the folder as it is found from the project, which may be moved."""
    return os.path.relpath(folder, venvs.parent.parent)


def _read(venvs: Path) -> dict[str, str | None]:
    with suppress(OSError, ValueError):
        found = json.loads((venvs / _NAME).read_text())
        return found if isinstance(found, dict) else {}
    return {}
