"""Stops all services in reverse order of start: asks, waits, and finally insists."""

from __future__ import annotations

import time

from mesh.runtime.diagnostics.stacks import report_unfinished
from mesh.runtime.service_instances import ServiceInstances
from mesh.runtime.status import Status


class Shutdown:
    """One stop of all services."""

    def __init__(self, instances: ServiceInstances, status: Status) -> None:
        self.exit_status = 0
        self._instances = instances
        self._status = status
        #: When the time of the last calls is up; None until then.
        self._stop_by: float | None = None
        #: Services that were reported because they did not stop in time; None until then.
        self._late: set[str] | None = None

    @property
    def has_started(self) -> bool:
        return self._stop_by is not None

    def start(self, exit_status: int) -> None:
        """Start the stop; only the first request counts, a second signal ends the process."""
        if self.has_started:
            return
        self.exit_status = exit_status
        self._stop_by = time.monotonic() + self._instances.longest_grace
        self._status.set_phase("stopping")
        self.advance()

    def advance(self) -> None:
        """Stop every instance that no running one depends on."""
        if self._status.snapshot.phase != "stopping":
            return
        for name in self._status.snapshot.in_state("starting", "ready", "failed", "stopping"):
            if name not in self._instances.living:
                self._status.set(name, state="stopped")
        running = self._status.snapshot.in_state("starting", "ready", "failed", "stopping")
        # Not the topology: it no longer declares a service that is stopping because its declaration is gone.
        needs = self._instances.topology.needs
        needed = {need for name in running for need in needs(self._instances.by_name[name].service)}
        for name in running - needed - self._status.snapshot.in_state("stopping"):
            self._status.set(name, state="stopping")
            # A little more than the calls get: what is still running then is reported before it is cut off.
            left = min((self._stop_by or 0) - time.monotonic(), self._instances.grace(name))
            self._instances.by_name[name].stop(max(0.0, left + 0.25))
        if not running:
            self._status.set_phase("stopped")

    def seconds_left(self) -> float:
        """Return the seconds until the calls' time is up, and then until that of the listeners and hooks is."""
        times_up = (self._stop_by or 0) + (0 if self._late is None else 0.75)
        return max(0.0, times_up - time.monotonic())

    def force(self) -> None:
        """Report what does not end; the second time, end without it."""
        late, hanging = self._late or set(), self._status.snapshot.in_state("stopping")
        if self._late is None or hanging - late:
            instances = self._instances
            late |= report_unfinished(instances.by_name, hanging - late, self._status.journal, instances.grace)
        if self._late is not None:
            self._status.set_phase("stopped")
        self._late = late
