"""Spans of a service's own OpenTelemetry SDK, put into the traces that mesh records, none of them twice."""

from __future__ import annotations

import json
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import TypeVar

from msgspec import Struct

from mesh.observing.journal import Entry
from mesh.observing.span import PAYLOAD_LIMIT, Span, SpanKind

#: Calls that are remembered.
MAX_KNOWN = 50_000
#: Spans that may wait, and seconds for those around them to come; then they are taken as they are.
MAX_PENDING, PATIENCE_SECONDS = 10_000, 10.0

T = TypeVar("T")


class Received(Struct, frozen=True):
    """One span as it came. kind: `server`, `client` or `internal`. is_noise: one message of an ASGI application."""

    service: str
    kind: SpanKind
    name: str
    trace_id: str
    span_id: str
    parent_id: str | None
    start: float
    milliseconds: float
    is_error: bool
    attributes: dict[str, object]
    is_noise: bool = False


class Merger:
    """A journal's subscriber that knows which calls mesh has recorded.

    A received server span whose parent is a recorded server span, or is the parent of one that was recorded at the same
    time, is the same call: the record stays, and what was in the received one is put into it. A received client span
    with the id of a recorded one is the same as well.

    append: takes the spans that no record stands for.
    """

    def __init__(self, append: Callable[[Span], object]) -> None:
        self._append = append
        #: By the id of a span, its service and kind.
        self._known: OrderedDict[str, tuple[str, SpanKind]] = OrderedDict()
        #: By the id of a caller's span, what was answered for it.
        self._answered: OrderedDict[str, tuple[Span, ...]] = OrderedDict()
        #: By the id of a received span, the record that stands for it.
        self._same: OrderedDict[str, str] = OrderedDict()
        self._pending: list[tuple[float, Received]] = []
        self._lock = threading.RLock()

    def __call__(self, entry: Entry) -> None:
        if not isinstance(entry, Span) or entry.kind == "internal":
            return
        with self._lock:
            _keep(self._known, entry.span_id, (entry.service, entry.kind))
            if entry.kind == "server" and entry.parent_id is not None:
                _keep(self._answered, entry.parent_id, (*self._answered.get(entry.parent_id, ())[-9:], entry))

    def receive(self, spans: Iterable[Received]) -> None:
        """Take spans that were sent; each is settled as soon as what it belongs to is known."""
        now = time.monotonic()
        with self._lock:
            self._pending += [(now, each) for each in spans]
        self.settle()

    def settle(self, at_once: bool = False) -> None:
        """Settle what can be settled. at_once: all of it."""
        with self._lock:
            limit = time.monotonic() - PATIENCE_SECONDS
            is_full = len(self._pending) > MAX_PENDING
            while True:
                before = self._pending
                ordered = sorted(before, key=lambda each: each[1].start)
                self._pending = [
                    each for each in ordered if not self._settled(each[1], at_once or is_full or each[0] < limit)
                ]
                if len(self._pending) in (0, len(before)):
                    return

    def _settled(self, span: Received, is_last: bool) -> bool:
        """Return whether the span needs no more waiting, and where it is new, append it."""
        if span.span_id in self._known:
            return True
        parent = self._same.get(span.parent_id, span.parent_id) if span.parent_id is not None else None
        same = parent if span.is_noise else self._record_of(span, parent)
        if same is not None:
            _keep(self._same, span.span_id, same)
            return True
        owner = self._known.get(parent) if parent is not None else None
        is_clear = owner is not None or (parent is None and span.kind != "server")
        if not (is_clear or is_last):
            return False
        service = owner[0] if owner is not None else span.service
        _keep(self._known, span.span_id, (service, "internal"))
        self._append(_recorded(span, service, parent))
        return True

    def _record_of(self, span: Received, parent: str | None) -> str | None:
        """Return the id of the record of the same call."""
        if span.kind != "server" or parent is None:
            return None
        if (known := self._known.get(parent)) is not None and known[1] == "server":
            return parent
        middle = span.start + span.milliseconds / 2000
        for record in reversed(self._answered.get(parent, ())):
            if record.start <= middle <= record.start + record.milliseconds / 1000 + 0.001:
                return record.span_id
        return None


def _keep(found: OrderedDict[str, T], key: str, value: T) -> None:
    found[key] = value
    if len(found) > MAX_KNOWN:
        found.popitem(last=False)


def _recorded(span: Received, service: str, parent: str | None) -> Span:
    """Return the record of a span that mesh has not seen; its attributes are what is shown as its payload."""
    made = Span(service, "internal", "http", span.name, "", span.trace_id, span.span_id, parent, span.start)
    made.milliseconds = span.milliseconds
    made.status = "ERROR" if span.is_error else "OK"
    made.request_type = "application/json" if span.attributes else ""
    data = json.dumps(span.attributes, default=str).encode() if span.attributes else b""
    made.request, made.request_size = data[:PAYLOAD_LIMIT], len(data)
    return made
