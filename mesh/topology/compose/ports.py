"""The ports that a Compose file publishes, in short and long form."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any


def published(value: Any) -> Iterator[tuple[int, int]]:
    """Yield the host port (0 for any) and the container port of each published TCP port."""
    for item in value if isinstance(value, list) else ():
        if isinstance(item, dict):
            if item.get("protocol", "tcp") == "tcp":
                yield from _pairs_of(str(item.get("published") or "0"), str(item.get("target") or ""))
            continue
        text, _, protocol = str(item).partition("/")
        host, _, container = text.rpartition(":")
        if protocol in ("", "tcp"):
            yield from _pairs_of(host.rpartition(":")[2] or "0", container)


def port_range(text: str) -> list[int]:
    """Return the ports of `8000` or `8000-8005`; empty for anything else."""
    if not (found := re.fullmatch(r"(\d{1,5})(?:-(\d{1,5}))?", text)):
        return []
    return [port for port in range(int(found[1]), int(found[2] or found[1]) + 1) if 0 < port < 65536]


def _pairs_of(host: str, container: str) -> Iterator[tuple[int, int]]:
    """Yield pairs from two ports or two ranges of ports; none for anything else."""
    inner = port_range(container)
    outer = port_range(host) if host != "0" else [0] * len(inner)
    yield from zip(outer, inner, strict=False)
