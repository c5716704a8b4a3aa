"""Ends a forked child where its code would return into mesh's, of which it is only a copy."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Any

from mesh.hosting.tracebacks import is_own

#: The original: a service's `os._exit` is replaced.
_exit = os._exit

Raised = tuple[type[BaseException], BaseException, TracebackType]


def leave_after(forking: FrameType, say: Callable[[str], object]) -> None:
    """End this process when the service's outermost frame that led to the fork is left, or awaits.

    A SystemExit gives the status, as at the end of a program; another exception is passed to `say`, and gives 1.
    """
    outermost = forking
    frame: FrameType | None = forking
    while frame is not None:
        if is_own(frame.f_code.co_filename):
            outermost = frame
        frame = frame.f_back
    raised: Raised | None = None

    def trace(frame: FrameType, event: str, value: Any) -> Any:
        nonlocal raised
        if event == "exception":
            # An await ends with a StopIteration.
            raised = None if value[0] is StopIteration else value
        elif event == "line":
            raised = None  # It was caught.
        elif event == "return":
            _leave(raised, say)
        return trace

    sys.settrace(lambda frame, event, value: None)
    outermost.f_trace = trace


def _leave(raised: Raised | None, say: Callable[[str], object]) -> None:
    sys.settrace(None)
    status: object = 0
    if raised is not None:
        kind, error, where = raised
        status = error.code if isinstance(error, SystemExit) else 1
        if not isinstance(error, SystemExit):
            say("".join(traceback.format_exception(kind, error, where)).rstrip())
    if status is not None and not isinstance(status, int):
        say(str(status))
        status = 1
    _exit(status or 0)
