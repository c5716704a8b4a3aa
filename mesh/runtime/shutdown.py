"""The end of everything: asked for in reverse order of start, waited for, and at last insisted on."""

from __future__ import annotations

import time

from mesh.runtime.diagnostics.stacks import report_unfinished
from mesh.runtime.service_instances import ServiceInstances
from mesh.runtime.status import Status


class Shutdown:
    """grace: seconds that calls in flight get."""

    def __init__(self, instances: ServiceInstances, status: Status, grace: float) -> None:
        self.exit_status = 0
        self._instances = instances
        self._status = status
        self._grace = grace
        self._stop_by: float | None = None
        #: Services that were named because they did not stop in time; None until that time has come.
        self._late: set[str] | None = None

    @property
    def has_started(self) -> bool:
        return self._stop_by is not None

    def start(self, exit_status: int) -> None:
        """Asked for more than once, the first counts: who cannot wait ends the process."""
        if self.has_started:
            return
        self.exit_status = exit_status
        self._stop_by = time.monotonic() + self._grace
        self._status.set_phase("stopping")
        self.advance()

    def advance(self) -> None:
        """Stops every instance that nothing running depends on any more."""
        if self._status.snapshot.phase != "stopping":
            return
        for name in self._status.snapshot.in_state("starting", "ready", "failed", "stopping"):
            if name not in self._instances.living:
                self._status.set(name, state="stopped")
        running = self._status.snapshot.in_state("starting", "ready", "failed", "stopping")
        needed = {need for name in running for need in self._instances.topology[name].depends_on}
        for name in running - needed - self._status.snapshot.in_state("stopping"):
            self._status.set(name, state="stopping")
            # A little more than the calls get: who is still at it then is named before it is cut off.
            self._instances.by_name[name].stop(max(0.0, (self._stop_by or 0) + 0.25 - time.monotonic()))
        if not running:
            self._status.set_phase("stopped")

    def seconds_left(self) -> float:
        """Seconds until the calls' time is up; then until that of the listeners and hooks behind them is."""
        times_up = (self._stop_by or 0) + (0 if self._late is None else 0.75)
        return max(0.0, times_up - time.monotonic())

    def force(self) -> None:
        """Names what does not end; the second time, ends without it."""
        late, hanging = self._late or set(), self._status.snapshot.in_state("stopping")
        if self._late is None or hanging - late:
            late |= report_unfinished(self._instances.by_name, hanging - late, self._status.journal, self._grace)
        if self._late is not None:
            self._status.set_phase("stopped")
        self._late = late
