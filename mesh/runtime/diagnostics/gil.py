"""Reports what held the GIL for seconds, in a C call or a garbage collection, once it is released."""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Callable, Mapping

from mesh.runtime.diagnostics.collections import FullCollections
from mesh.runtime.diagnostics.dumps import Stack, only_working, service_in
from mesh.runtime.diagnostics.held_stacks import HeldStacks
from mesh.runtime.diagnostics.stacks import current_stacks, format_stack

#: Seconds of the process's time between two readings of its threads' times: a thread may have used it before the hold.
_STEP = 0.1


class GilHolds:
    """Learns from the watchdog how late it woke: a thread that waits for the GIL is late, and can only report it later.

    services: returns the name of the service that each thread works for, by ident.
    cpu_times: returns the seconds of processor time of each thread, by ident.
    log: takes a service's name and the text of a report. held: has the stacks of that time; without it, those of now
    tell where the thread has come to.
    """

    #: Seconds by which the watchdog must be late.
    held_for = 1.0
    #: The share of the process's time that the thread which held the GIL used meanwhile.
    of_process = 0.6

    def __init__(
        self,
        services: Callable[[], Mapping[int, str]],
        cpu_times: Callable[[], Mapping[int, float]],
        log: Callable[[str, str], None],
        held: HeldStacks | None = None,
    ) -> None:
        self._services = services
        self._cpu_times = cpu_times
        self._log = log
        self._before = cpu_times()
        self._spent = time.process_time()
        self._held = held
        self._collections = FullCollections()
        self._waits = _waits()
        #: When that was last done, and the processor time of the watchdog's thread.
        self._looked: tuple[float, float] | None = None

    def close(self) -> None:
        self._collections.close()
        if self._held is not None:
            self._held.close()

    def look(self, waited: float) -> None:
        """Check after each wait of the watchdog, in its thread, from its first look on.

        waited: the seconds that it meant to wait.

        Late is what has passed since the last look beyond these and beyond its own work, in which it may lose the GIL.
        """
        now, worked = time.monotonic(), time.thread_time()
        if self._looked is not None:
            passed = now - self._looked[0]
            self.look_at(passed - (worked - self._looked[1]) - waited, passed)
        self._looked = now, worked
        if self._held is not None:
            self._held.expect()

    def look_at(self, late: float, passed: float) -> None:
        """Check, given the seconds by which the watchdog is late, and those since the last look."""
        waits = _waits()
        is_held = late >= self.held_for and _waited_for_the_gil(late, waits - self._waits)
        if is_held:
            # First of all: anything that releases the GIL lets the thread that held it go on.
            stacks: Mapping[int, Stack] = current_stacks()
            services = self._services()
            if taken := self._held.taken() if self._held is not None else None:
                stacks = taken
                services = {**services, **{thread: name for thread in taken if (name := service_in(taken[thread]))}}
            thread = self._holder(stacks, services)
            # One that has begun in another thread may be waiting for the GIL itself.
            collects = thread in (None, self._collections.thread) and self._collections.took_most_of(late, passed)
            kind = "a garbage collection" if collects else "a C call"
            self._report(stacks, services, thread, late, kind)
        self._waits = waits
        spent = time.process_time()
        if is_held or spent - self._spent > _STEP:
            self._before, self._spent = self._cpu_times(), spent

    def _report(
        self, stacks: Mapping[int, Stack], services: Mapping[int, str], thread: int | None, late: float, kind: str
    ) -> None:
        text = f"held the GIL for more than {late:.1f} s in {kind}, while no other Python code ran"
        if thread is None:
            self._log("mesh", f"an unknown thread {text}")
        else:
            self._log(services.get(thread, "mesh"), f"it {text}; it was at\n{format_stack(stacks[thread])}")

    def _holder(self, stacks: Mapping[int, Stack], services: Mapping[int, str]) -> int | None:
        """Return the thread that used most of the time; without one, the only one in a service's code."""
        used = {thread: spent - self._before.get(thread, 0.0) for thread, spent in self._cpu_times().items()}
        most = max(used, key=used.__getitem__, default=0)
        if most in stacks and used[most] > max(2 * _STEP, self.of_process * (time.process_time() - self._spent)):
            return most
        return only_working({thread: stacks[thread] for thread in stacks if services.get(thread, "mesh") != "mesh"})


def _waits() -> int:
    """Return how often this thread has waited; 0 if the system does not report it (macOS)."""
    return resource.getrusage(resource.RUSAGE_THREAD).ru_nvcsw if sys.platform == "linux" else 0


def _waited_for_the_gil(late: float, waits: int) -> bool:
    """Return True if the late thread requested the GIL meanwhile, which it does at every switch interval.

    Otherwise the process was stopped (Ctrl-Z), or the machine slept.
    """
    return sys.platform != "linux" or waits > late / sys.getswitchinterval() / 10
