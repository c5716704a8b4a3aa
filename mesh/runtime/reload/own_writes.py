"""Delays the reloads of services that write, each time they are loaded, a file for which they reload."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable
from pathlib import Path

from msgspec import Struct, field

#: Consecutive loads that a service may cause by its own writes; seconds until the next, doubled each time.
ROUNDS, FIRST_PAUSE, LONGEST_PAUSE = 3, 5.0, 60.0


class _Loads(Struct):
    """began, ended: of the newest load, by the file system's clock. rounds: consecutive loads that wrote their cause.

    requested: when the newest load was, on the monotonic clock: the file system's is too coarse to compare loads by.
    counted: the load that was counted last. due, why: of a delayed load.
    """

    requested: float = 0.0
    began: float = 0.0
    ended: float | None = None
    rounds: int = 0
    counted: float = -1.0
    due: float | None = None
    why: str = ""


class OwnWrites(Struct):
    _loads: dict[str, _Loads] = field(default_factory=dict)

    def began(self, service: str) -> None:
        """Record that a load of the service was requested."""
        loads = self._of(service)
        loads.requested, loads.began, loads.ended, loads.due = time.monotonic(), _now(), None, None

    def ended(self, service: str, milliseconds: float = 0.0) -> None:
        """Record the end of a load that took so long; another may have been requested meanwhile."""
        loads = self._of(service)
        if time.monotonic() - milliseconds / 1000 >= loads.requested:
            loads.ended = _now()

    def rounds(self, service: str, files: Iterable[Path]) -> int:
        """Return how many consecutive loads, up to the newest, wrote what has changed now; 0 if that one did not."""
        loads = self._of(service)
        until = loads.ended if loads.ended is not None else _now() + 1
        times = [_written(file) for file in files]
        if not all(at is not None and loads.began <= at <= until for at in times):
            loads.rounds = 0
        elif loads.counted != loads.began and until not in times:  # Within the clock tick, it may be an edit.
            loads.rounds += 1
            loads.counted = loads.began
        return loads.rounds

    def put_off(self, service: str, why: str) -> float:
        """Delay the next load; return for how many seconds."""
        loads = self._of(service)
        pause = min(FIRST_PAUSE * 2.0 ** max(0, loads.rounds - ROUNDS), LONGEST_PAUSE)
        if loads.due is None:
            loads.due, loads.why = time.monotonic() + pause, why
        return pause

    def due(self) -> dict[str, tuple[float, str]]:
        """Return when the delayed loads are to begin, on the monotonic clock, and why."""
        return {name: (each.due, each.why) for name, each in self._loads.items() if each.due is not None}

    def forget(self, service: str) -> None:
        self._loads.pop(service, None)

    def _of(self, service: str) -> _Loads:
        return self._loads.setdefault(service, _Loads())


def _now() -> float:
    """Return the time as Linux writes it into files: that of its last clock tick."""
    if sys.platform != "linux":
        return time.time()
    coarse_clock = 5  # CLOCK_REALTIME_COARSE, which the time module does not name
    return time.clock_gettime(coarse_clock)


def _written(file: Path) -> float | None:
    try:
        return file.stat().st_mtime
    except OSError:
        return None
