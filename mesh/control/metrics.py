"""Counts of the calls that services answered, in the text format of Prometheus."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterable

from mesh.observing.journal import Entry, Journal
from mesh.observing.span import Span
from mesh.runtime.messages import ServiceState, Snapshot

#: Service, protocol, method, route and status.
Labels = tuple[str, str, str, str, str]


class CallMetrics:
    """A journal's subscriber that counts from the start on, whatever the journal still holds."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._calls: Counter[Labels] = Counter()
        self._seconds: dict[Labels, float] = {}
        self._lock = threading.RLock()
        journal.subscribe(self._count)

    def _count(self, entry: Entry) -> None:
        if isinstance(entry, Span) and entry.kind == "server":
            # Not the raw path, of which a client can invent any number.
            labels = (entry.service, entry.protocol, entry.method, entry.route or "", entry.status)
            with self._lock:
                self._calls[labels] += 1
                self._seconds[labels] = self._seconds.get(labels, 0.0) + entry.milliseconds / 1000

    def text(self, snapshot: Snapshot) -> str:
        """Return the metrics, with the state of each service."""
        with self._lock:
            calls, seconds = dict(self._calls), dict(self._seconds)
        in_flight = Counter(each.service.name for each in list(self._journal.in_flight.values()))
        lines = ["# TYPE mesh_call_duration_seconds summary"]
        for labels, number in sorted(calls.items()):
            shown = _labels(zip(("service", "protocol", "method", "route", "status"), labels, strict=True))
            lines.append(f"mesh_call_duration_seconds_count{shown} {number}")
            lines.append(f"mesh_call_duration_seconds_sum{shown} {seconds[labels]:.6f}")
        gauges: dict[str, Callable[[ServiceState], int]] = {
            "mesh_calls_in_flight": lambda service: in_flight[service.name],
            "mesh_service_ready": lambda service: int(service.state == "ready"),
        }
        for name, value in gauges.items():
            lines.append(f"# TYPE {name} gauge")
            lines += [f"{name}{_labels([('service', each.name)])} {value(each)}" for each in snapshot.services]
        return "\n".join([*lines, ""])


def _labels(pairs: Iterable[tuple[str, str]]) -> str:
    return "{" + ",".join(f'{name}="{_escaped(value)}"' for name, value in pairs) + "}"


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
