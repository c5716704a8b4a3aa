"""The state of everything that runs: written by the supervisor's loop only, read from any thread."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from msgspec.structs import replace

from mesh.observing.journal import Change, Journal, Line
from mesh.runtime.messages import Phase, ServiceState, Snapshot
from mesh.topology.model import Address, Kind

#: Starts the reason of a service whose newest code could not be served.
STALE_PREFIX = "reload failed, still serving the previous code: "


class Status:
    """`snapshot` is replaced as a whole at every change; each change of a state is recorded in the journal."""

    def __init__(self, topology: str, names: Iterable[str], journal: Journal) -> None:
        self.snapshot = Snapshot(topology, "bound", tuple(ServiceState(name) for name in names))
        self.journal = journal
        #: The traceback of each service that failed last.
        self.traces: dict[str, str] = {}

    def set_phase(self, phase: Phase) -> None:
        self.snapshot = replace(self.snapshot, phase=phase)
        self.journal.append(Change("mesh", phase))

    def set(self, name: str, **changes: Any) -> None:
        """Change fields of one service's state."""
        before = self.snapshot[name]
        after = replace(before, **changes)
        services = tuple(after if each.name == name else each for each in self.snapshot.services)
        self.snapshot = replace(self.snapshot, services=services)
        if (after.state, after.reason) != (before.state, before.reason):
            self.journal.append(Change(name, after.state, after.reason))

    def set_addresses(self, name: str, addresses: Mapping[Kind, tuple[Address, ...]]) -> None:
        """Record the addresses of a service's listeners."""
        http, tcp = addresses.get("http", ()), addresses.get("tcp", ())
        self.set(name, http=http, grpc=addresses.get("grpc", (None,))[0], tcp=tcp)

    def fail(self, name: str, reason: str, trace: str) -> None:
        """Record a failure, traceback first, so that it stands above the sentence."""
        self.traces[name] = trace
        if trace:
            self.journal.append(Line(name, trace, "stderr"))
        self.set(name, state="failed", reason=reason)

    def mark_stale(self, name: str, reason: str, trace: str) -> None:
        """Record that the newest code could not be served, and that the previous code still serves."""
        if trace:
            self.journal.append(Line(name, trace, "stderr"))
        self.set(name, reason=f"{STALE_PREFIX}{reason}")

    def log(self, name: str, text: str) -> None:
        """Record a line of mesh about a service."""
        self.journal.append(Line(name, text, "mesh"))

    def add(self, name: str) -> None:
        self.snapshot = replace(self.snapshot, services=(*self.snapshot.services, ServiceState(name)))

    def remove(self, name: str) -> None:
        kept = tuple(each for each in self.snapshot.services if each.name != name)
        self.snapshot = replace(self.snapshot, services=kept)
