"""The dependency groups of a pyproject.toml that `uv sync` installs beside the dependencies."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Set
from typing import Any

_NAME = re.compile(r"[\w.-]+")


def requirements(declared: Mapping[str, Any]) -> list[str]:
    """Return those of uv's default groups, which is `dev` unless it says otherwise. declared: the pyproject.toml.

    Packages of the workspace, and others that are not from an index, are left out.
    """
    uv = declared.get("tool", {}).get("uv", {})
    groups = dict(declared.get("dependency-groups", {}))
    groups["dev"] = [*groups.get("dev", ()), *uv.get("dev-dependencies", ())]
    names = uv.get("default-groups", ["dev"])
    found = [line for name in (groups if names == "all" else names) for line in _of(name, groups, frozenset())]
    elsewhere = {_plain(name) for name in uv.get("sources", {})}
    return [line for line in found if not (named := _NAME.match(line)) or _plain(named[0]) not in elsewhere]


def _of(name: str, groups: Mapping[str, Any], including: Set[str]) -> Iterator[str]:
    """Yield a group's requirements, and those of the groups that it includes. including: the groups that include it."""
    for each in groups.get(name, ()) if name not in including else ():
        if isinstance(each, str):
            yield each
        elif isinstance(each, dict):
            yield from _of(str(each.get("include-group")), groups, including | {name})


def _plain(name: str) -> str:
    return name.lower().replace("_", "-").replace(".", "-")
