"""Reports when all threads that answer a service's calls are busy, so that others wait or are refused."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

from mesh.observing.journal import InFlight
from mesh.runtime.diagnostics.stacks import stack_of_call


class Saturation:
    """Checked repeatedly by the watchdog; reports once for each generation of a service.

    workers_of: returns how many threads the gRPC listener of a service has for plain methods.
    """

    #: Consecutive checks at which a call waits for the same thread, or all gRPC threads are busy, before a report.
    said_after = 4

    def __init__(self, workers_of: Callable[[str], int], log: Callable[[str, str], None]) -> None:
        self._workers_of = workers_of
        self._log = log
        self._full: Counter[str] = Counter()
        #: By service, the id of the ServiceContext of the generation last reported.
        self._said: dict[str, int] = {}

    def look_at(self, calls: Sequence[InFlight]) -> None:
        for call in calls:
            if (waiting := call.waiting) is not None:
                waiting.looks += 1
                if waiting.looks == self.said_after:
                    self._say(call, calls, f"all {waiting.threads:g} threads of a pool are busy, and {call.name} waits")
        plain = {call.service.name: call for call in calls if call.task is None}
        numbers = Counter(call.service.name for call in calls if call.task is None)
        full = [name for name, number in numbers.items() if number >= self._workers_of(name)]
        self._full = Counter({name: self._full[name] + 1 for name in full})
        for name in full:
            if self._full[name] == self.said_after:
                text = (
                    f"all {self._workers_of(name)} threads for gRPC are busy; further calls wait for "
                    "`queue_seconds`, then get RESOURCE_EXHAUSTED"
                )
                self._say(plain[name], calls, text)

    def _say(self, call: InFlight, calls: Sequence[InFlight], text: str) -> None:
        name = call.service.name
        if self._said.get(name) == id(call.service):
            return
        self._said[name] = id(call.service)
        busy = [each for each in calls if each.service.name == name and (each.workers or each.task is None)]
        where = f"; the oldest call, {busy[0].name}, is at\n{stack_of_call(busy[0])}" if busy else ""
        self._log(name, text + where)
