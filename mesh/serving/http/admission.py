"""Closes idle connections when descriptors run out, and then refuses new ones."""

from __future__ import annotations

import heapq
import time
from collections.abc import Callable, Iterable
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
    """Belongs to one HTTP server, in its loop. Descriptors beyond `refuse_from` are reserved for outgoing calls.

    notify: takes a sentence, once a minute while there are too many connections.
    """

    def __init__(self, notify: Callable[[str], None]) -> None:
        self.refuse_from = limit() - reserve()
        self.close_from = self.refuse_from - reserve()
        self._notify = notify
        self._said_at: float | None = None

    def admits(self, descriptor: int, connections: Iterable[Connection]) -> bool:
        """Make room if few descriptors are left, judging by the new connection's; False if there is none."""
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
