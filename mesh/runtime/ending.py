"""The end of everything: asked for in reverse order of start, waited for, and at last insisted on."""

from __future__ import annotations

import time

from mesh.runtime.board import Board
from mesh.runtime.fleet import Fleet
from mesh.runtime.stuck import name_the_stuck


class Ending:
    """grace: seconds that calls in flight get."""

    def __init__(self, fleet: Fleet, board: Board, grace: float) -> None:
        self.exit_status = 0
        self._fleet = fleet
        self._board = board
        self._grace = grace
        self._stop_by: float | None = None
        #: Services that were named because they did not stop in time; None until that time has come.
        self._late: set[str] | None = None

    @property
    def begun(self) -> bool:
        return self._stop_by is not None

    def begin(self, exit_status: int) -> None:
        """Asked for more than once, the first counts: who cannot wait ends the process."""
        if self.begun:
            return
        self.exit_status = exit_status
        self._stop_by = time.monotonic() + self._grace
        self._board.enter("stopping")
        self.go_on()

    def go_on(self) -> None:
        """Stops every unit that nothing running depends on any more."""
        if self._board.snapshot.phase != "stopping":
            return
        for name in self._board.snapshot.named("starting", "ready", "failed", "stopping"):
            if name not in self._fleet.living:
                self._board.set(name, state="stopped")
        running = self._board.snapshot.named("starting", "ready", "failed", "stopping")
        needed = {need for name in running for need in self._fleet.topology[name].depends_on}
        for name in running - needed - self._board.snapshot.named("stopping"):
            self._board.set(name, state="stopping")
            # A little more than the calls get: who is still at it then is named before it is cut off.
            self._fleet.units[name].stop(max(0.0, (self._stop_by or 0) + 0.25 - time.monotonic()))
        if not running:
            self._board.enter("stopped")

    def patience(self) -> float:
        """Seconds until the calls' time is up; then until that of the listeners and hooks behind them is."""
        times_up = (self._stop_by or 0) + (0 if self._late is None else 0.75)
        return max(0.0, times_up - time.monotonic())

    def insist(self) -> None:
        """Names what does not end; the second time, ends without it."""
        late, hanging = self._late or set(), self._board.snapshot.named("stopping")
        if self._late is None or hanging - late:
            late |= name_the_stuck(self._fleet.units, hanging - late, self._board.journal, self._grace)
        if self._late is not None:
            self._board.enter("stopped")
        self._late = late
