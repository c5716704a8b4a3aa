"""Closes idle connections when descriptors run out, and then refuses new ones."""

from __future__ import annotations

import asyncio
import contextlib
import heapq
import time
from collections.abc import Callable, Sequence
from typing import Protocol

from mesh.descriptors import limit, reserve

#: Idle connections closed at once, so that not every new one has to look for one.
BATCH = 8
#: Seconds until the same message is repeated.
SAID_FOR = 60.0


class Connection(Protocol):
    """A connection of an HTTP server. active_at: when its newest request began, on the clock of its loop."""

    active_at: float

    def is_idle(self) -> bool: ...

    def close_idle(self) -> None: ...


class Admission:
    """Belongs to one HTTP server, in its loop; descriptors are the process's, so servers make room for each other.

    Descriptors beyond `refuse_from` are reserved for outgoing calls; half of them are used while another server closes
    its idle connections. notify: takes a sentence, once a minute while there are too many connections.
    """

    def __init__(self, notify: Callable[[str], None]) -> None:
        self.refuse_from = limit() - reserve()
        self.close_from = self.refuse_from - reserve()
        self._notify = notify
        self._said_at: float | None = None

    def open(self, connections: Callable[[], Sequence[Connection]]) -> None:
        """Begin, in the server's loop. connections: returns a copy of what is open now, to any thread."""
        self._connections = connections
        self._loop = asyncio.get_running_loop()
        _OPEN.append(self)

    def close(self) -> None:
        if self in _OPEN:  # not where the server did not start
            _OPEN.remove(self)

    def admits(self, new: Connection, descriptor: int) -> bool:
        """Make room if few descriptors are left, judging by the new connection's; False if there is none."""
        if descriptor < self.close_from:
            return True
        self._say()
        if self._close_idle(new) or descriptor < self.refuse_from:
            return True
        return self._others_close_idle() and descriptor < self.refuse_from + reserve() // 2

    def _idle(self) -> list[Connection]:
        return [each for each in self._connections() if each.is_idle()]

    def _close_idle(self, new: Connection | None = None) -> bool:
        """Close a batch of this server's connections, in its loop; return whether there were any."""
        idle = [each for each in self._idle() if each is not new]
        for each in heapq.nsmallest(BATCH, idle, key=lambda each: each.active_at):
            each.close_idle()
        return bool(idle)

    def _others_close_idle(self) -> bool:
        """Ask the other servers of the process to close a batch each; return whether any of them can."""
        able = [each for each in list(_OPEN) if each is not self and each._idle()]
        for each in able:
            with contextlib.suppress(RuntimeError):  # its loop has ended
                each._loop.call_soon_threadsafe(each._close_idle)
        return bool(able)

    def _say(self) -> None:
        now = time.monotonic()
        if self._said_at is None or now - self._said_at >= SAID_FOR:
            self._said_at = now
            self._notify(
                f"most of the {limit()} files and sockets that this process may open are in use: idle connections are "
                "closed, and further ones refused; close some, or raise the limit with `ulimit -n`"
            )


#: Those of the process's servers; each changes it in its own loop.
_OPEN: list[Admission] = []
