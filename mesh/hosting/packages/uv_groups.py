"""The dependency groups of a pyproject.toml that `uv sync` installs beside the dependencies."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any


def requirements(declared: Mapping[str, Any]) -> list[str]:
    """Return those of uv's default groups, which is `dev` unless it says otherwise. declared: the pyproject.toml."""
    groups = declared.get("dependency-groups", {})
    uv = declared.get("tool", {}).get("uv", {})
    names = uv.get("default-groups", ["dev"])
    found = [line for name in (groups if names == "all" else names) for line in _of(name, groups)]
    return [*found, *map(str, uv.get("dev-dependencies", []))]


def _of(name: str, groups: Mapping[str, Any]) -> Iterator[str]:
    """Yield a group's requirements, and those of the groups that it includes."""
    for each in groups.get(name, ()):
        if isinstance(each, str):
            yield each
        elif isinstance(each, dict) and (other := each.get("include-group")) != name:
            yield from _of(str(other), groups)
