"""The state of everything that runs: written by the supervisor's loop alone, read by whoever wants to."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from mesh.observing.journal import Change, Journal, Line
from mesh.runtime.messages import Phase, ServiceState, Snapshot
from mesh.topology.model import Address, Kind

#: Begins the reason of a service whose newest code could not be served.
STALE_PREFIX = "the code before goes on: "


class Status:
    """`snapshot` is replaced whole at every change, and each change of a state is told to the journal."""

    def __init__(self, topology: str, names: Iterable[str], journal: Journal) -> None:
        self.snapshot = Snapshot(topology, "bound", tuple(ServiceState(name) for name in names))
        self.journal = journal
        #: The traceback of each service that failed last.
        self.traces: dict[str, str] = {}

    def set_phase(self, phase: Phase) -> None:
        self.snapshot = replace(self.snapshot, phase=phase)
        self.journal.append(Change("mesh", phase))

    def set(self, name: str, **changes: Any) -> None:
        """Changes fields of one service's state."""
        before = self.snapshot[name]
        after = replace(before, **changes)
        services = tuple(after if each.name == name else each for each in self.snapshot.services)
        self.snapshot = replace(self.snapshot, services=services)
        if (after.state, after.reason) != (before.state, before.reason):
            self.journal.append(Change(name, after.state, after.reason))

    def set_addresses(self, name: str, addresses: Mapping[Kind, tuple[Address, ...]]) -> None:
        """Notes where a service's listeners are reached."""
        self.set(name, http=addresses.get("http", ()), grpc=addresses.get("grpc", (None,))[0])

    def fail(self, name: str, reason: str, trace: str) -> None:
        """Notes a failure, its traceback first: it is what a reader looks for above the sentence."""
        self.traces[name] = trace
        if trace:
            self.journal.append(Line(name, trace, "stderr"))
        self.set(name, state="failed", reason=reason)

    def mark_stale(self, name: str, reason: str, trace: str) -> None:
        """Notes that the newest code could not be served, and that the code before it goes on."""
        if trace:
            self.journal.append(Line(name, trace, "stderr"))
        self.set(name, reason=f"{STALE_PREFIX}{reason}")

    def log(self, name: str, text: str) -> None:
        """A line that mesh has to say about a service."""
        self.journal.append(Line(name, text, "mesh"))

    def add(self, name: str) -> None:
        self.snapshot = replace(self.snapshot, services=(*self.snapshot.services, ServiceState(name)))

    def remove(self, name: str) -> None:
        kept = tuple(each for each in self.snapshot.services if each.name != name)
        self.snapshot = replace(self.snapshot, services=kept)
