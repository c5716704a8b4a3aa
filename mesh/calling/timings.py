"""Times the calls made for the current call, with their transport, for the Server-Timing header."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from mesh.context import Timing, current_call
from mesh.errors import Code, StatusError

#: Codes that a caller may get without a servicer's doing.
NO_ANSWER = (Code.UNAVAILABLE, Code.DEADLINE_EXCEEDED, Code.UNIMPLEMENTED)


@contextmanager
def timed(service: str, way: str) -> Iterator[Timing]:
    """Record the block as one answered call, unless its transport fails; the block may change `way` before it ends."""
    timing = Timing(service, way, 0.0)
    started = time.perf_counter()
    try:
        yield timing
    except StatusError as error:
        if error.code not in NO_ANSWER:
            _note(timing, started)
        raise
    _note(timing, started)


def _note(timing: Timing, started: float) -> None:
    timing.milliseconds = (time.perf_counter() - started) * 1000
    if (call := current_call.get()) is not None:
        call.timings.append(timing)
