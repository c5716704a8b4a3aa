"""The calls of a trace that decided how long it took: with one of them faster, the whole would be. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from mesh.observing.span import Span

#: Seconds by which a call that was waited for may seem to end after its caller.
_TOLERANCE = 0.0002


def critical_path(spans: Sequence[Span]) -> set[str]:
    """Return the ids of the calls on the path: from the end back, each time the call that was waited for last.

    A call that ends after its caller was not waited for, and what it leads to is not on the path.
    """
    known = {each.span_id for each in spans}
    children: dict[str, list[Span]] = {}
    for span in spans:
        if span.parent_id in known and span.parent_id is not None:
            children.setdefault(span.parent_id, []).append(span)
    path: set[str] = set()
    waiting = [(each, end_of(each)) for each in spans if each.parent_id not in known]
    while waiting:
        span, until = waiting.pop()
        path.add(span.span_id)
        waiting += _waited_for(span, until, children)
    return path


def end_of(span: Span) -> float:
    """Return when a call ended, in seconds since the epoch."""
    return span.start + span.milliseconds / 1000


def _waited_for(span: Span, until: float, children: Mapping[str, Sequence[Span]]) -> list[tuple[Span, float]]:
    """Return the calls in the span that its end waited for, one after the other, each with its end at the latest."""
    found: list[tuple[Span, float]] = []
    for child in sorted(children.get(span.span_id, ()), key=end_of, reverse=True):
        # The answering side may still record when its caller has gone on.
        if child.kind == "server" or end_of(child) <= until + _TOLERANCE:
            end = min(end_of(child), until)
            if child.start < end:
                found.append((child, end))
                until = min(until, child.start)
    return found
