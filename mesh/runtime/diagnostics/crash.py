"""Reads what faulthandler wrote of a crash in C code: the kind of crash, the service and the line."""

from __future__ import annotations

from typing import NamedTuple

from mesh.hosting.tracebacks import is_own
from mesh.runtime.diagnostics.dumps import Stack, only_working, service_in, stacks_in

#: The first line of such a text.
CRASH_PREFIX = "Fatal Python error: "


class Crash(NamedTuple):
    """sentence: `Segmentation fault in web at /app/api.py:12 (lookup)`, as far as it is known; service: `web`."""

    sentence: str
    service: str | None


def describe_crash(dump: str) -> Crash | None:
    """Return what is known of the crash; None if nothing crashed."""
    _, found, rest = dump.partition(CRASH_PREFIX)
    if not found:
        return None
    stack = _crashed(rest)
    where = next((each for each in reversed(stack) if is_own(each.filename)), stack[-1] if stack else None)
    service = service_in(stack)
    in_service = f" in {service}" if service else ""
    kind = rest.partition("\n")[0]
    at = f" at {where.filename}:{where.lineno} ({where.name})" if where else ""
    return Crash(f"{kind}{in_service}{at}", service)


def _crashed(dump: str) -> Stack:
    """Return the stack of the thread that crashed; an abort from outside arrives in any thread."""
    stacks = stacks_in(dump)
    _, has_current, current = dump.partition("Current thread ")
    crashed = next(iter(stacks_in(f"Current thread {current}").values()), []) if has_current else []
    if dump.startswith("Aborted") and service_in(crashed) is None:
        services = {thread: stack for thread, stack in stacks.items() if service_in(stack) is not None}
        return services.get(only_working(services) or 0, [])
    return crashed
