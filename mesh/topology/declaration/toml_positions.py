"""Lines of the keys in a TOML text; tomllib reads the values but drops their positions."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator

Path = tuple[str, ...]


def lines_of_keys(text: str) -> dict[Path, int]:
    """Return the line, from 1, where each table and key of a valid TOML text first occurs, except in inline tables."""
    found: dict[Path, int] = {}
    table: Path = ()
    for number, line in _outside_strings(text):
        if line.startswith("["):
            table = _path_of(line) or table
            path = table
        else:
            path = table + _path_of(f"{line.partition('=')[0]} = 0")
        for size in range(1, len(path) + 1):
            found.setdefault(path[:size], number)
    return found


def line_of(places: dict[Path, int], key: Path) -> int | None:
    """Return the line of `key`, or of the nearest table around it that is known."""
    return next((places[key[:size]] for size in range(len(key), 0, -1) if key[:size] in places), None)


def _outside_strings(text: str) -> Iterator[tuple[int, str]]:
    """Yield the lines that do not start inside a multi-line string, numbered from 1."""
    closing = ""
    for number, line in enumerate(text.splitlines(), 1):
        if not closing:
            yield number, line.strip()
        for quotes in ('"""', "'''"):
            if closing in ("", quotes) and line.count(quotes) % 2:
                closing = "" if closing else quotes


def _path_of(line: str) -> Path:
    """Return the path that a line of TOML opens; empty if it is neither a header nor a key."""
    try:
        table: object = tomllib.loads(line)
    except tomllib.TOMLDecodeError:
        return ()
    path: list[str] = []
    while isinstance(table, dict | list) and table:
        if isinstance(table, list):
            table = table[0]
            continue
        key, table = next(iter(table.items()))
        path.append(key)
    return tuple(path)
