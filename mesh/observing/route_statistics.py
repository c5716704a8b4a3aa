"""Calls summed up by the service and the route that answered them. Pure."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from msgspec import Struct, field

from mesh.observing.span import Span
from mesh.observing.waterfall import has_failed, name_of

#: A service, and `GET /users/{id}` or `grpc GetUser`.
RouteKey = tuple[str, str]


class RouteStatistics(Struct):
    """The calls of one route.

    statuses: how often each was answered. shapes: paths into JSON answers with the types found there, `$.id: number`.
    made: calls that its handlers made.
    """

    statuses: Counter[str] = field(default_factory=Counter)
    failed: int = 0
    shapes: set[str] = field(default_factory=set)
    made: int = 0
    durations: list[float] = field(default_factory=list)

    @property
    def calls(self) -> int:
        return len(self.durations)

    def percentile(self, percent: int) -> float:
        """Return the milliseconds within which this share of the calls was answered."""
        ordered = sorted(self.durations)
        return ordered[(len(ordered) - 1) * percent // 100]


def by_route(spans: Sequence[Span]) -> dict[RouteKey, RouteStatistics]:
    """Return the statistics of each route that answered one of the calls."""
    made = Counter(each.parent_id for each in spans if each.kind == "client" and each.attempt == 1)
    found: dict[RouteKey, RouteStatistics] = {}
    for span in spans:
        if span.kind == "server":
            route = found.setdefault((span.service, route_of(span)), RouteStatistics())
            route.statuses[span.status or span.error or "no answer"] += 1
            route.failed += has_failed(span)
            route.shapes |= set(shape_of(span))
            route.made += made[span.span_id]
            route.durations.append(span.milliseconds)
    return found


def route_of(span: Span) -> str:
    """Return the template that the path matched, with the method, or the path where none is known."""
    return f"{span.method} {span.route}" if span.route else name_of(span)


def shape_of(span: Span) -> Iterable[str]:
    """Yield the paths and types of a JSON answer that succeeded and was recorded whole."""
    if has_failed(span) or "json" not in span.response_type or len(span.response) < span.response_size:
        return
    try:
        value = json.loads(span.response)
    except ValueError:
        return
    yield from _shape("$", value)


def _shape(path: str, value: Any) -> Iterable[str]:
    if isinstance(value, dict):
        for name, each in value.items():
            yield from _shape(f"{path}.{name}", each)
    elif isinstance(value, list):
        for each in value:
            yield from _shape(f"{path}[]", each)
    else:
        yield f"{path}: {_TYPES[type(value)]}"


_TYPES = {str: "string", bool: "boolean", int: "number", float: "number", type(None): "null"}
