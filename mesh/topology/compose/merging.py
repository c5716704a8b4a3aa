"""Merges the tables of two Compose files, as an override file and `extends` do.

The rules are Compose's (docs.docker.com/reference/compose-file/merge): tables are merged key by key, lists are
appended, other values replaced; what has a short form as a list is merged as the table that it stands for.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mesh.topology.compose.yaml_file import Override, Reset

Table = dict[str, Any]

#: Keys of a service whose later value replaces the earlier one, lists as well.
_REPLACED = frozenset({"command", "entrypoint"})
#: Keys of a service that are tables, and may be written as lists of `NAME=value`.
_VARIABLES = frozenset({"environment", "labels", "annotations", "sysctls", "extra_hosts"})
#: Keys of a service that are tables, and may be written as lists of names.
_NAMED = frozenset({"depends_on", "networks"})


def merged_services(before: Table, after: Table) -> Table:
    """Return the services of both files, those of the later one merged into the earlier."""
    found = dict(before)
    for name, table in after.items():
        if isinstance(table, Reset):
            found.pop(name, None)
        elif isinstance(found.get(name), dict) and isinstance(table, dict):
            found[name] = merged_service(found[name], table)
        else:
            found[name] = table
    return found


def merged_service(before: Table, after: Table) -> Table:
    """Return one service's table with a later one merged into it."""
    found = dict(before)
    for key, value in after.items():
        if isinstance(value, Reset):
            found.pop(key, None)
        elif isinstance(value, Override) or key not in found or key in _REPLACED:
            found[key] = plain(value)
        else:
            found[key] = _merged(key, found[key], value)
    return found


def _merged(key: str, before: Any, after: Any) -> Any:
    if after is None:
        return before
    if key == "build":
        return _tables(_built(before), _built(after))
    if key in _VARIABLES:
        gone = {name for name, value in after.items() if isinstance(value, Reset)} if isinstance(after, dict) else set()
        found = _by_name(before) | _by_name(after)
        return {name: value for name, value in found.items() if name not in gone}
    if key in _NAMED:
        return _tables(_by_key(before), _by_key(after))
    if key == "env_file":
        return _unique([*_sequence(before), *_sequence(after)], _path)
    if key == "volumes":
        return _unique([*_sequence(before), *_sequence(after)], _target)
    if key == "healthcheck" and isinstance(before, dict) and isinstance(after, dict):
        return {**before, **plain(after)}
    return _any(before, after)


def _any(before: Any, after: Any) -> Any:
    if after is None:
        return before
    if isinstance(before, dict) and isinstance(after, dict):
        return _tables(before, after)
    if isinstance(before, list) and isinstance(after, list):
        return _unique([*before, *map(plain, after)], repr)
    return plain(after)


def _tables(before: Table, after: Table) -> Table:
    found = dict(before)
    for key, value in after.items():
        if isinstance(value, Reset):
            found.pop(key, None)
        elif isinstance(value, Override) or key not in found:
            found[key] = plain(value)
        else:
            found[key] = _any(found[key], value)
    return found


def plain(value: Any) -> Any:
    """Return the value without the tags that only say how to merge it."""
    if isinstance(value, Override):
        return plain(value.value)
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items() if not isinstance(item, Reset)}
    if isinstance(value, list):
        return [plain(item) for item in value if not isinstance(item, Reset)]
    return value


def _built(value: Any) -> Table:
    found = plain(value)
    if not isinstance(found, dict):
        return {"context": found}
    return {**found, "args": _by_name(found["args"])} if "args" in found else found


def _by_name(value: Any) -> Table:
    found = plain(value)
    if isinstance(found, dict):
        return found
    pairs = (str(item).partition("=") for item in _sequence(found))
    return {name: text if equals else None for name, equals, text in pairs}


def _by_key(value: Any) -> Table:
    found = plain(value)
    return found if isinstance(found, dict) else {str(item): {} for item in _sequence(found)}


def _sequence(value: Any) -> list[Any]:
    found = plain(value)
    if found is None:
        return []
    return found if isinstance(found, list) else [found]


def _path(file: Any) -> str:
    return str(file.get("path")) if isinstance(file, dict) else str(file)


def _target(volume: Any) -> str:
    """Return the path in the container, of which a service has one volume each."""
    if isinstance(volume, dict):
        return str(volume.get("target"))
    return str(volume).split(":")[1] if ":" in str(volume) else str(volume)


def _unique(items: list[Any], key: Callable[[Any], str]) -> list[Any]:
    """Return the items with one of each key, the last one at the place of the first."""
    return list({key(item): item for item in items}.values())
