"""The critical path: what was waited for last, from the end back; drawn in the waterfall."""

from __future__ import annotations

from mesh.observing.critical_path import critical_path
from mesh.observing.span import Span
from mesh.observing.waterfall import waterfall


def span(span_id: str, parent: str | None, start: float, end: float, kind: str = "server", **changes: object) -> Span:
    """Return a call from `start` to `end`, in milliseconds."""
    given: dict[str, object] = {"protocol": "http", "method": "GET", "target": f"/{span_id}", "status": "200"}
    given |= {"trace_id": "t", "is_root": parent is None} | changes
    return Span(
        service="web",
        kind=kind,  # type: ignore[arg-type]
        span_id=span_id,
        parent_id=parent,
        start=1000 + start / 1000,
        milliseconds=end - start,
        **given,  # type: ignore[arg-type]
    )


#: a asks b and c at once, and d with c's answer; e is left to itself.
TRACE = [
    span("a", None, 0, 100),
    span("b", "a", 10, 30, "client"),
    span("b-server", "b", 12, 29),
    span("c", "a", 10, 60, "client"),
    span("c-server", "c", 11, 62),
    span("d", "a", 61, 95, "client"),
    span("e", "a", 62, 180, "client"),
    span("e-server", "e", 63, 179),
]


def test_the_path_goes_from_the_end_back_over_what_was_waited_for_last() -> None:
    assert critical_path(TRACE) == {"a", "c", "c-server", "d"}


def test_each_call_without_its_caller_begins_a_path() -> None:
    assert critical_path(TRACE[1:]) == {"b", "b-server", "c", "c-server", "d", "e", "e-server"}


def test_the_waterfall_draws_what_is_beside_the_path_in_another_way() -> None:
    head, _, *rows = waterfall(TRACE, [])
    assert head.endswith("  180.0 ms  (█ critical path, ░ beside it)")
    assert [row[:20].strip()[0] + row.split()[-2] for row in rows] == [
        "█/a",
        "░/b-server",
        "█/c-server",
        "█/d",
        "░/e-server",
    ]
    assert "beside" not in waterfall(TRACE[:1], [])[0]


def test_a_further_attempt_is_a_row_that_says_so() -> None:
    trace = [
        span("a", None, 0, 100),
        span("b", "a", 1, 10, "client", status="503"),
        span("b-server", "b", 2, 9, status="503"),
        span("c", "a", 20, 40, "client", attempt=2, attempt_of="b"),
        span("c-server", "c", 21, 39),
        span("d", "a", 50, 60, "client", attempt=3, attempt_of="b", status="", error="TimeoutError"),
    ]
    assert [row.split("web  ")[1] for row in waterfall(trace, [])[2:]] == [
        "GET /a  200",
        "  GET /b-server  503",
        "  GET /c-server  200  attempt 2",
        "  ->  GET /d  TimeoutError  attempt 3",
    ]
