"""The dependencies in Poetry's own table of a pyproject.toml, whose versions its lock file has."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

LOCK = "poetry.lock"
#: Keys of a dependency that is no package of an index, or only for some versions of Python.
_SPECIAL = frozenset({"git", "path", "url", "file", "python", "platform", "source"})


def requirements(declared: Mapping[str, Any]) -> list[str] | None:
    """Return them, and those of groups that `poetry install` installs, as pip takes them, without versions.

    None if only Poetry's build backend can tell them. declared: the pyproject.toml. The project's README, which the
    backend wants, need not be there.
    """
    poetry = declared.get("tool", {}).get("poetry")
    if not isinstance(poetry, dict):
        return None
    main = list(_lines(poetry.get("dependencies", {})))
    return None if None in main else list(dict.fromkeys(filter(None, [*main, *of_groups(declared)]))) or None


def of_groups(declared: Mapping[str, Any]) -> list[str]:
    """Return the dependencies of the groups, without those that are no plain packages of an index."""
    poetry = declared.get("tool", {}).get("poetry", {})
    groups = [each.get("dependencies", {}) for each in poetry.get("group", {}).values() if not each.get("optional")]
    return [line for table in (poetry.get("dev-dependencies", {}), *groups) for line in _lines(table) if line]


def source_folders(declared: Mapping[str, Any]) -> list[str]:
    """Return the folders of the project whose packages `poetry install` makes importable, where it names some."""
    packages = declared.get("tool", {}).get("poetry", {}).get("packages", [])
    return list(dict.fromkeys(str(each["from"]) for each in packages if isinstance(each, dict) and each.get("from")))


def _lines(table: Mapping[str, Any]) -> Iterator[str | None]:
    """Yield the dependencies of a table; None for each that only the backend can tell."""
    for name, value in table.items():
        wanted = value if isinstance(value, dict) else {}
        if name == "python" or wanted.get("optional"):
            continue
        if isinstance(value, list) or _SPECIAL & wanted.keys():
            yield None
            continue
        extras = f"[{','.join(wanted['extras'])}]" if wanted.get("extras") else ""
        marker = f"; {wanted['markers']}" if wanted.get("markers") else ""
        yield f"{name}{extras}{marker}"
