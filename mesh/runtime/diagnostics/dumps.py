"""Reads what faulthandler writes of threads."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from traceback import FrameSummary

from mesh.hosting.threads import SERVICE_FRAME
from mesh.hosting.tracebacks import is_own

Stack = Sequence[FrameSummary]

_THREAD = re.compile(r"^(?:Current thread|Thread) 0x([0-9a-f]+).*\n((?:  .*\n?)*)", re.MULTILINE)
_FRAME = re.compile(r'^  File "(.*)", line (\d+) in (.*)$', re.MULTILINE)


def stacks_in(dump: str) -> dict[int, Stack]:
    """Return the frames of every thread, by its ident, innermost last."""
    return {int(ident, 16): list(map(_frame, reversed(_FRAME.findall(text)))) for ident, text in _THREAD.findall(dump)}


def _frame(found: tuple[str, str, str]) -> FrameSummary:
    file, line, name = found
    return FrameSummary(file, int(line), name, lookup_line=False)


def service_in(stack: Stack) -> str | None:
    """Return the service whose thread it is; None if it is not known."""
    names = (frame.name for frame in stack if frame.name.startswith(SERVICE_FRAME))
    return next((name.removeprefix(SERVICE_FRAME) for name in names), None)


def only_working(stacks: Mapping[int, Stack]) -> int | None:
    """Return the thread in a service's code if there is one only, or one only that is not in a library's below that."""
    working = [thread for thread, stack in stacks.items() if any(is_own(frame.filename) for frame in stack)]
    if len(working) > 1:
        working = [thread for thread in working if is_own(stacks[thread][-1].filename)]
    return working[0] if len(working) == 1 else None
