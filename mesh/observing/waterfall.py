"""A trace as lines of text: each call with its place in time, and the log lines where they were written. Pure."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from msgspec import Struct

from mesh.observing.critical_path import critical_path, end_of
from mesh.observing.escaping import COLOUR, escaped, shortened
from mesh.observing.journal import Line
from mesh.observing.span import Span

#: Columns of the bar that shows when a call ran.
BAR = 20
#: What the bar of a call is made of.
ON_PATH, BESIDE_PATH = "█", "░"


def has_failed(span: Span) -> bool:
    """Return True for an HTTP status from 400 up, any gRPC code but OK, and a call without an answer."""
    if span.status.isdecimal():
        return span.status >= "400"
    return span.status != "OK"


def summary(spans: Sequence[Span], longest: int | None = None) -> str:
    """Return a line about a trace: the first digits of its id, its first call, and how many followed.

    longest: columns for the name of a service, None for any number.
    """
    first = spans[0]
    clock = time.strftime("%H:%M:%S", time.localtime(first.start))
    failed = sum(map(has_failed, spans))
    tail = f"  {len(spans)} record{'' if len(spans) == 1 else 's'}{f', {failed} failed' if failed else ''}"
    digits, width, what = (12, 16, 36) if longest is None else (8, longest, 14)
    service = shortened(escaped(first.service), longest)
    name = shortened(escaped(name_of(first)), None if longest is None else what)
    return (
        f"{clock}  {first.trace_id[:digits]}  {service:<{width}} {name:<{what}} "
        f"{status_of(first):<5} {first.milliseconds:{7 if longest else 8}.1f} ms{tail}"
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
    longest: int | None = None,
) -> list[str]:
    """Return the trace: every attempt under the call that made it, with the lines written meanwhile.

    A client's record is shown where no service here answered it, and where it followed a failed attempt.
    bar: the width of the bars that show when a call ran, and which were on the critical path; 0 leaves them out.
    longest: columns for the name of a service, None for any number.
    """
    entries: list[Span | Line] = sorted([*spans, *lines], key=moment_of)
    first = min(spans, key=moment_of)
    total = max(map(end_of, spans)) - first.start
    width = max(len(shortened(each.service, longest)) for each in entries)
    rows = _Rows(first.start, total, width, longest, bar, payloads, critical_path(spans))
    clock = time.strftime("%H:%M:%S", time.localtime(first.start))
    beside = f"  ({ON_PATH} critical path, {BESIDE_PATH} beside it)" if bar and len(rows.critical) < len(spans) else ""
    shown = [f"trace {first.trace_id}  {clock}  {total * 1000:.1f} ms{beside}", ""]
    roots, children = _nested(entries)
    stack = [(each, 0, 1) for each in reversed(roots)]
    while stack:
        entry, depth, attempt = stack.pop()
        if isinstance(entry, Line):
            shown += rows.of_line(entry, depth)
            continue
        inner = children.pop(entry.span_id, [])
        is_client = entry.kind == "client"
        if not is_client or entry.way or not any(isinstance(each, Span) for each in inner):
            shown += rows.of_call(entry, depth, attempt if not is_client else entry.attempt)
        # The row of the answering side stands for its caller's attempt as well.
        attempt = entry.attempt if is_client and not entry.way else 1
        stack += [(each, depth if is_client else depth + 1, attempt) for each in reversed(inner)]
    return [each.rstrip() for each in shown]


def _nested(entries: Sequence[Span | Line]) -> tuple[list[Span | Line], dict[str, list[Span | Line]]]:
    """Return the entries without a call around them, and those in each call, by its id."""
    known = {each.span_id for each in entries if isinstance(each, Span)}
    children: dict[str, list[Span | Line]] = {}
    roots: list[Span | Line] = []
    for entry in entries:
        parent = entry.parent_id if isinstance(entry, Span) else entry.span_id
        (children.setdefault(parent, []) if parent in known and parent is not None else roots).append(entry)
    return roots, children


class _Rows(Struct, frozen=True):
    """Rows of one trace. start, total: in seconds. width: columns for a service's name. critical: ids of calls.

    longest, bar, payloads: see `waterfall`.
    """

    start: float
    total: float
    width: int
    longest: int | None
    bar: int
    payloads: Callable[[Span], list[str]] | None
    critical: set[str]

    def of_call(self, span: Span, depth: int, attempt: int) -> list[str]:
        """Return the row of a call, and its payloads below it."""
        indent = "  " * depth
        what = escaped(span.way or name_of(span))
        again = f"  attempt {attempt}" if attempt > 1 and not span.way else ""
        cause = f"  ({escaped(span.cause)})" if span.cause else ""
        when = f"{self._bar(span)}  " if self.bar else ""
        row = (
            f"{when}{span.milliseconds:8.1f} ms  {shortened(span.service, self.longest):<{self.width}}  {indent}{what}"
        )
        below = [f"{self._margin}{'':<{self.width}}  {indent}  {text}" for text in (self.payloads or _none)(span)]
        return [f"{row}  {status_of(span)}{again}{cause}", *below]

    def of_line(self, line: Line, depth: int) -> list[str]:
        """Return the rows of what a service wrote."""
        before = f"{self._margin}{shortened(line.service, self.longest):<{self.width}}  {'  ' * depth}| "
        return [f"{before}{text}" for text in _texts(line)]

    @property
    def _margin(self) -> str:
        return " " * ((self.bar + 2 if self.bar else 0) + 13)

    def _bar(self, span: Span) -> str:
        """Return the columns in which the call ran, at least one of them."""
        width, total = self.bar, self.total
        begin, end = 0, width
        if total > 0:
            begin = min(width - 1, round((span.start - self.start) / total * width))
            end = min(width, max(begin + 1, round((end_of(span) - self.start) / total * width)))
        mark = ON_PATH if span.span_id in self.critical else BESIDE_PATH
        return f"{' ' * begin}{mark * (end - begin)}{' ' * (width - end)}"


def _none(span: Span) -> list[str]:
    return []


def moment_of(entry: Span | Line) -> float:
    """Return when a call began or a line was written, in seconds since the epoch."""
    return entry.start if isinstance(entry, Span) else entry.at


def _texts(line: Line) -> list[str]:
    level = f"{line.level} " if line.level else ""
    return [escaped(COLOUR.sub("", f"{level}{text}")) for text in line.text.split("\n")]
