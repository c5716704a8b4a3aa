"""A trace as lines of text: each call with its place in time, and the log lines where they were written. Pure."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from mesh.observing.escaping import COLOUR, escaped
from mesh.observing.journal import Line
from mesh.observing.span import Span

#: Columns of the bar that shows when a call ran.
BAR = 20


def has_failed(span: Span) -> bool:
    """Return True for an HTTP status from 400 up, any gRPC code but OK, and a call without an answer."""
    if span.status.isdecimal():
        return span.status >= "400"
    return span.status != "OK"


def summary(spans: Sequence[Span]) -> str:
    """Return a line about a trace: the first 12 digits of its id, its first call, and how many followed."""
    first = spans[0]
    clock = time.strftime("%H:%M:%S", time.localtime(first.start))
    failed = sum(map(has_failed, spans))
    tail = f"  {len(spans)} record{'' if len(spans) == 1 else 's'}{f', {failed} failed' if failed else ''}"
    return (
        f"{clock}  {first.trace_id[:12]}  {escaped(first.service):<16} {escaped(name_of(first)):<36} "
        f"{status_of(first):<5} {first.milliseconds:8.1f} ms{tail}"
    )


def name_of(span: Span) -> str:
    what = f"grpc {span.name}" if span.protocol == "grpc" else span.name
    return f"-> {span.peer or span.declared} {what}" if span.kind == "client" else what


def status_of(span: Span) -> str:
    return span.status or span.error or "no answer"


def waterfall(
    spans: Sequence[Span],
    lines: Sequence[Line],
    payloads: Callable[[Span], list[str]] | None = None,
    bar: int = BAR,
) -> list[str]:
    """Return the trace: every attempt under the call that made it, with the lines written meanwhile.

    A client's record is shown where no service here answered it, and where it followed a failed attempt.
    bar: the width of the bars that show when a call ran; 0 leaves them out.
    """
    ordered = sorted(spans, key=lambda each: each.start)
    start = ordered[0].start
    total = max(each.start + each.milliseconds / 1000 for each in ordered) - start
    known = {each.span_id for each in ordered}
    children: dict[str, list[Span | Line]] = {}
    roots: list[Span | Line] = []
    entries: list[Span | Line] = [*ordered, *lines]
    for entry in sorted(entries, key=moment_of):
        parent = entry.parent_id if isinstance(entry, Span) else entry.span_id
        (children.setdefault(parent, []) if parent in known else roots).append(entry)
    width = max(len(each.service) for each in entries)
    clock = time.strftime("%H:%M:%S", time.localtime(start))
    shown = [f"trace {ordered[0].trace_id}  {clock}  {total * 1000:.1f} ms", ""]
    stack = [(each, 0) for each in reversed(roots)]
    margin = " " * (bar + 2 if bar else 0)
    while stack:
        entry, depth = stack.pop()
        indent = "  " * depth
        if isinstance(entry, Line):
            shown += [f"{margin}{'':>11}  {entry.service:<{width}}  {indent}| {text}" for text in _texts(entry)]
            continue
        inner = children.pop(entry.span_id, [])
        is_answered_client = entry.kind == "client" and any(isinstance(each, Span) for each in inner)
        if not is_answered_client or entry.way:
            what = escaped(entry.way or name_of(entry))
            when = f"{_bar(entry, start, total, bar)}  " if bar else ""
            row = f"{when}{entry.milliseconds:8.1f} ms  {entry.service:<{width}}  {indent}{what}"
            shown.append(f"{row}  {status_of(entry)}{f'  ({escaped(entry.cause)})' if entry.cause else ''}")
            shown += [f"{margin}{'':>11}  {'':<{width}}  {indent}  {text}" for text in (payloads or _none)(entry)]
        deeper = depth if entry.kind == "client" else depth + 1
        stack += [(each, deeper) for each in reversed(inner)]
    return [each.rstrip() for each in shown]


def _none(span: Span) -> list[str]:
    return []


def moment_of(entry: Span | Line) -> float:
    """Return when a call began or a line was written, in seconds since the epoch."""
    return entry.start if isinstance(entry, Span) else entry.at


def _texts(line: Line) -> list[str]:
    level = f"{line.level} " if line.level else ""
    return [escaped(COLOUR.sub("", f"{level}{text}")) for text in line.text.split("\n")]


def _bar(span: Span, start: float, total: float, width: int) -> str:
    """Columns in which the call ran, at least one of them."""
    if total <= 0:
        return "█" * width
    begin = min(width - 1, round((span.start - start) / total * width))
    end = min(width, max(begin + 1, round((span.start - start + span.milliseconds / 1000) / total * width)))
    return f"{' ' * begin}{'█' * (end - begin)}{' ' * (width - end)}"
