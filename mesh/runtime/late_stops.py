"""Stops of single services that take longer than they may: a thread cannot be ended."""

from __future__ import annotations

from collections.abc import Iterable

#: Seconds beyond those that calls in flight get.
MORE_SECONDS = 1.0


class LateStops:
    """Used in the supervisor's thread."""

    def __init__(self) -> None:
        #: When each should have stopped, on the monotonic clock.
        self._due: dict[str, float] = {}
        self._late: set[str] = set()

    def __contains__(self, name: str) -> bool:
        """Return True for a service that was reported because it had not stopped."""
        return name in self._late

    def began(self, name: str, until: float) -> None:
        """Note that a service stops. until: when the time of its calls in flight is up."""
        self._due[name] = until + MORE_SECONDS

    def ended(self, name: str) -> None:
        self._due.pop(name, None)
        self._late.discard(name)

    def due(self) -> Iterable[float]:
        """Return when something is due."""
        return self._due.values()

    def taken(self, now: float) -> list[str]:
        """Return the services that are late since the last time, to be reported now."""
        found = [name for name, at in self._due.items() if at <= now]
        for name in found:
            del self._due[name]
        self._late.update(found)
        return found
