"""Tells what the services did in a test that failed, as text for its report. Pure."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence

from mesh.observing.escaping import escaped
from mesh.observing.journal import Change, Entry, InFlight, Line
from mesh.observing.span import Span
from mesh.observing.waterfall import waterfall

#: Traces that are shown, the newest; and lines outside of any.
MAX_TRACES = 10
MAX_LINES = 100


def failure_report(entries: Sequence[Entry], in_flight: Iterable[InFlight], note: str) -> str:
    """Return each request of the test as a tree with its log lines, and what was written outside of any.

    in_flight: calls that have not been answered. note: a sentence about where the record is.
    """
    traces: dict[str, list[Span]] = {}
    lines: dict[str | None, list[Line]] = {}
    for entry in entries:
        if isinstance(entry, Span):
            traces.setdefault(entry.trace_id, []).append(entry)
        elif isinstance(entry, Line):
            lines.setdefault(entry.trace_id, []).append(entry)
    ordered = sorted(traces.values(), key=lambda spans: min(each.start for each in spans))
    shown: list[str] = []
    if len(ordered) > MAX_TRACES:
        shown += [f"({len(ordered) - MAX_TRACES} earlier requests are not shown)", ""]
    for spans in ordered[-MAX_TRACES:]:
        shown += [*waterfall(spans, lines.get(spans[0].trace_id, ()), bar=0), ""]
    now = time.perf_counter()
    shown += [
        f"not answered after {now - each.started:.1f} s: {each.service.name} {escaped(each.name)}"
        for each in in_flight
        if not each.is_answered
    ]
    outside = [line for trace_id, each in lines.items() if trace_id not in traces for line in each]
    shown += [f"{line.service}  {escaped(text)}" for line in outside[-MAX_LINES:] for text in line.text.splitlines()]
    shown += [
        f"{each.service} is {each.state}: {escaped(each.reason)}"
        for each in entries
        if isinstance(each, Change) and each.reason
    ]
    return "\n".join([*shown, note]).strip()
