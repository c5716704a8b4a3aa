"""Ends a mesh that cannot stop because C code holds its GIL, from a separate process."""

from __future__ import annotations

import contextlib
import math
import os
import select
import signal
import socket
import struct
import time
from collections.abc import Collection

#: Seconds beyond those that calls in flight get.
MORE_SECONDS = 1.0
#: Seconds that the signalled process gets to read a signal.
_LOOK_SECONDS = 0.1
#: Seconds that the dump of the stacks may take.
_DUMP_SECONDS = 1.0

_LIMITS = struct.Struct("dd")
_TEXT = (
    "mesh: has not stopped within {:g} s, since no Python code can run, as while C code holds the GIL; it is ended by "
    "SIGABRT, and these are its threads:\n"
)


class StopGuard:
    """Forked before the process has threads; ends when that has ended.

    signals: where this process reads the numbers of its signals. stops: those that stop it.
    """

    def __init__(self, signals: socket.socket, stops: Collection[int]) -> None:
        reading, self._told = os.pipe()
        os.set_blocking(self._told, False)
        process = os.getpid()
        if os.fork() == 0:
            try:
                _keep_only(reading, signals.fileno())
                _watch(process, reading, signals, frozenset(stops))
            finally:
                os._exit(0)
        os.close(reading)

    def watch(self, grace: float) -> None:
        """End this process if a signal that stops it waits to be read for longer than the calls get."""
        self._tell(grace + MORE_SECONDS, math.inf)

    def expect_end_within(self, seconds: float) -> None:
        """End this process if it has not ended by then; the last call counts."""
        self._tell(math.inf, seconds)

    def _tell(self, unread_seconds: float, seconds: float) -> None:
        with contextlib.suppress(OSError):  # Somebody has ended the guard.
            os.write(self._told, _LIMITS.pack(unread_seconds, seconds))


# In the guard's process.


def _keep_only(*descriptors: int) -> None:
    """Leave the terminal's session, and close what is not needed; readers of the output do not wait for the guard."""
    os.setsid()
    nothing = os.open(os.devnull, os.O_RDWR)
    for number in (0, 1):
        os.dup2(nothing, number)
    low = 3
    for number in sorted(descriptors):
        os.closerange(low, number)
        low = number + 1
    os.closerange(low, max(low, 256))


def _watch(process: int, told: int, signals: socket.socket, stops: frozenset[int]) -> None:
    """Return when the process has ended, by itself or by this guard."""
    unread_seconds, unread_since = math.inf, math.inf
    seconds = end_by = math.inf
    while True:
        timeout = None if end_by == math.inf else max(0.0, end_by - time.monotonic())
        ready = select.select([told, signals.fileno()], [], [], timeout)[0]
        now = time.monotonic()
        if told in ready:
            message = os.read(told, _LIMITS.size)
            if not message:
                return
            unread_seconds, seconds = _LIMITS.unpack(message)
            end_by = now + seconds
        unread_since = min(unread_since, now) if signals.fileno() in ready and _has_any(signals, stops) else math.inf
        if now - unread_since > unread_seconds:
            _end(process, told, unread_seconds)
        elif now >= end_by:
            _end(process, told, seconds)
        elif signals.fileno() in ready:
            time.sleep(_LOOK_SECONDS)  # The process reads it meanwhile, unless it cannot.


def _has_any(signals: socket.socket, stops: frozenset[int]) -> bool:
    try:
        return not stops.isdisjoint(signals.recv(64, socket.MSG_PEEK | socket.MSG_DONTWAIT))
    except BlockingIOError:  # The process has just read it.
        return False


def _end(process: int, told: int, seconds: float) -> None:
    """End the process: faulthandler writes the stacks of its threads, which needs no GIL either."""
    with contextlib.suppress(OSError):
        os.write(2, _TEXT.format(seconds).encode())
    for number in (signal.SIGABRT, signal.SIGKILL):
        if os.getppid() == process:  # Else it is gone, and another may have its pid.
            os.kill(process, number)
            select.select([told], [], [], _DUMP_SECONDS)
    os._exit(0)
