"""The dependencies in Poetry's own table of a pyproject.toml, whose versions its lock file has."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

LOCK = "poetry.lock"
#: Keys of a dependency that is no package of an index, or only for some versions of Python.
_SPECIAL = frozenset({"git", "path", "url", "file", "python", "platform", "source"})


def requirements(declared: Mapping[str, Any]) -> list[str] | None:
    """Return them as `pip install` takes them, without versions; None if only Poetry's build backend can tell them.

    declared: the pyproject.toml. The project's README, which the backend wants, need not be there.
    """
    poetry = declared.get("tool", {}).get("poetry")
    table = poetry.get("dependencies", {}) if isinstance(poetry, dict) else {}
    found: list[str] = []
    for name, value in table.items():
        wanted = value if isinstance(value, dict) else {}
        if isinstance(value, list) or _SPECIAL & wanted.keys():
            return None
        if name == "python" or wanted.get("optional"):
            continue
        extras = f"[{','.join(wanted['extras'])}]" if wanted.get("extras") else ""
        marker = f"; {wanted['markers']}" if wanted.get("markers") else ""
        found.append(f"{name}{extras}{marker}")
    return found or None
