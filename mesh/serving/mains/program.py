"""A running program as the servers that it makes see it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, Protocol

from mesh.errors import UsageError
from mesh.topology.model import Kind


class Program(Protocol):
    """waiting_servers: end the waiting of the servers in the program's thread, the innermost last."""

    waiting_servers: list[Callable[[], None]]

    def refusal(self, does: str) -> UsageError:
        """Return the error for something that mesh does not do for a program; the service fails with it."""
        ...

    def port_for(self, kind: Kind, port: int) -> int:
        """Return the port that the listener has; raises UsageError if the service declares another."""
        ...

    def opened(self, kind: Kind, server: Any) -> threading.Event:
        """Take what a server serves; return the event of its being served."""
        ...

    def wait_until(self, is_done: Callable[[float], bool], seconds: float | None = None) -> bool:
        """Wait in slices: `is_done(slice)` waits at most that long; return False after `seconds`."""
        ...

    def is_main_thread(self) -> bool:
        """Return True in the program's own thread, as opposed to one that it has started."""
        ...

    def must_leave(self) -> bool:
        """Return True if the program has been interrupted, and this is not its own thread."""
        ...

    def server_left(self) -> None:
        """Call the program's handler of the signal, once the server that took the interruption has ended."""
        ...
