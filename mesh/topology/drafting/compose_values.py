"""The values of a Compose file: strings with variables, lists or tables, ports in short and long form."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

_VARIABLE = re.compile(r"\$(?:(\$)|\{(\w+)(?::?-([^}]*))?[^}]*\}|(\w+))")


def resolved(value: Any) -> str | None:
    """Return the value with each variable replaced by its default, or None if one has no default."""
    if value is None:
        return None
    known = all(found[1] or found[3] is not None for found in _VARIABLE.finditer(str(value)))
    return with_defaults(value) if known else None


def with_defaults(value: Any, otherwise: str | None = None) -> str:
    """Return the value with each variable replaced by its default; without one it stays, or becomes `otherwise`."""

    def replacement(found: re.Match[str]) -> str:
        if found[1]:
            return "$"
        kept = found[0] if otherwise is None else otherwise
        return kept if found[3] is None else found[3]

    return _VARIABLE.sub(replacement, str(value))


def each(value: Any) -> Iterator[str]:
    """Yield the items of a list or the keys of a table."""
    yield from map(str, value if isinstance(value, list | dict) else ())


def variables(value: Any) -> Iterator[tuple[str, str | None]]:
    """Return variables from a table or from a list of NAME=value."""
    if isinstance(value, dict):
        yield from ((str(key), resolved(item)) for key, item in value.items())
    for item in value if isinstance(value, list) else ():
        key, equals, text = str(item).partition("=")
        yield key, resolved(text) if equals else None


def ports(value: Any) -> Iterator[tuple[int, int]]:
    """Yield the host port (0 for any) and the container port of each published TCP port."""
    for item in value if isinstance(value, list) else ():
        if isinstance(item, dict):
            if item.get("protocol", "tcp") == "tcp":
                yield from _pairs_of(resolved(item.get("published")) or "0", resolved(item.get("target")) or "")
            continue
        text, _, protocol = with_defaults(item, "").partition("/")
        host, _, container = text.rpartition(":")
        if protocol in ("", "tcp"):
            yield from _pairs_of(host.rpartition(":")[2] or "0", container)


def _pairs_of(host: str, container: str) -> Iterator[tuple[int, int]]:
    """Yield pairs from two ports or two ranges of ports; none for anything else."""
    inner = port_range(container)
    outer = port_range(host) if host != "0" else [0] * len(inner)
    yield from zip(outer, inner, strict=False)


def port_range(text: str) -> list[int]:
    """Return the ports of `8000` or `8000-8005`; empty for anything else."""
    if not (found := re.fullmatch(r"(\d{1,5})(?:-(\d{1,5}))?", text)):
        return []
    return [port for port in range(int(found[1]), int(found[2] or found[1]) + 1) if 0 < port < 65536]
