"""Who may keep a connection when descriptors run out: who uses it; idle ones are closed, and then new ones refused."""

from __future__ import annotations

import heapq
import time
from collections.abc import Callable, Iterable
from typing import Protocol

from mesh.descriptors import limit, reserve

#: Idle connections that are closed at once, so that not each new one has to look for one.
BATCH = 8
#: Seconds until the same is said again.
SAID_FOR = 60.0


class Connection(Protocol):
    """A connection of an HTTP server. active_at: when its newest request began, on the clock of its loop."""

    active_at: float

    def is_idle(self) -> bool: ...

    def close_idle(self) -> None: ...


class Admission:
    """Of one HTTP server; lives in its loop. Beyond `refuse_from` are the descriptors that calls of ours need.

    notify: takes a sentence, once a minute while there are too many connections.
    """

    def __init__(self, notify: Callable[[str], None]) -> None:
        self.refuse_from = limit() - reserve()
        self.close_from = self.refuse_from - reserve()
        self._notify = notify
        self._said_at: float | None = None

    def admits(self, descriptor: int, connections: Iterable[Connection]) -> bool:
        """Make room if the new connection's descriptor says that there is little; False if there is none to be made."""
        if descriptor < self.close_from:
            return True
        self._say()
        idle = heapq.nsmallest(BATCH, (each for each in connections if each.is_idle()), key=lambda each: each.active_at)
        for each in idle:
            each.close_idle()
        return bool(idle) or descriptor < self.refuse_from

    def _say(self) -> None:
        now = time.monotonic()
        if self._said_at is None or now - self._said_at >= SAID_FOR:
            self._said_at = now
            self._notify(
                f"most of the {limit()} files and sockets that this process may open are in use: idle connections are "
                "closed, and further ones refused; close some, or raise the limit with `ulimit -n`"
            )
