"""Reads what faulthandler wrote of a crash in C code: the kind of crash, the service and the line."""

from __future__ import annotations

import re

from mesh.hosting.threads import SERVICE_FRAME
from mesh.hosting.tracebacks import is_own

#: The first line of such a text.
CRASH_PREFIX = "Fatal Python error: "

_CURRENT = re.compile(r"^Current thread 0x.*\n((?:  .*\n?)*)", re.MULTILINE)
_FRAME = re.compile(r'^  File "(.*)", line (\d+) in (.*)$', re.MULTILINE)


def describe_crash(dump: str) -> str | None:
    """Return `Segmentation fault in web at /app/api.py:12 (lookup)`, as far as it is known; None if nothing crashed."""
    _, found, rest = dump.partition(CRASH_PREFIX)
    if not found:
        return None
    kind = rest.partition("\n")[0]
    current = _CURRENT.search(rest)
    frames = _FRAME.findall(current[1]) if current else []
    services = [name.removeprefix(SERVICE_FRAME) for _, _, name in frames if name.startswith(SERVICE_FRAME)]
    where = next((each for each in frames if is_own(each[0])), frames[0] if frames else None)
    in_service = f" in {services[0]}" if services else ""
    return f"{kind}{in_service}" + (f" at {where[0]}:{where[1]} ({where[2]})" if where else "")
