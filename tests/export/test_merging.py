"""Which received spans are new, which are another record's, and where what they hold belongs."""

from __future__ import annotations

from mesh.export.merging import Merger, Received
from mesh.observing.span import Span

TRACE = "0af7651916cd43dd8448eb211c80319c"


def record(span_id: str, parent: str | None, kind: str = "server", start: float = 10.0) -> Span:
    return Span("user", kind, "http", "GET", "/", TRACE, span_id, parent, start, 100.0, "200")  # type: ignore[arg-type]


def sent(span_id: str, parent: str | None, kind: str = "internal", start: float = 10.01, **changes: object) -> Received:
    given: dict[str, object] = {"milliseconds": 50.0, "is_error": False, "attributes": {}} | changes
    return Received("shop", kind, span_id, TRACE, span_id, parent, start, **given)  # type: ignore[arg-type]


def merged(*given: Span | Received, at_once: bool = False) -> list[tuple[str, str, str | None]]:
    """Return service, id and parent of each span that is appended, in a merger that is given these in turn."""
    appended: list[Span] = []
    merger = Merger(appended.append)
    for each in given:
        if isinstance(each, Span):
            merger(each)
            merger.settle()
        else:
            merger.receive([each])
    merger.settle(at_once)
    return [(each.service, each.span_id, each.parent_id) for each in appended]


def test_a_server_span_under_a_recorded_one_is_that_call_and_what_is_in_it_belongs_to_the_record() -> None:
    given: list[Span | Received] = [record("p", None), sent("r", "p", "server"), sent("i", "r"), sent("j", "i")]
    assert merged(*given) == [("user", "i", "p"), ("user", "j", "i")]


def test_a_server_span_with_the_same_caller_as_a_record_of_that_time_is_that_call() -> None:
    first, second = record("p", "c", start=10.0), record("q", "c", start=20.0)
    given: list[Span | Received] = [
        first,
        second,
        sent("r", "c", "server", 20.01),
        sent("i", "r"),
        sent("s", "c", "server", 30.0),
    ]
    assert merged(*given) == [("user", "i", "q")]
    assert merged(*given, at_once=True) == [("user", "i", "q"), ("shop", "s", "c")]


def test_what_comes_before_what_is_around_it_waits_for_it() -> None:
    given: list[Span | Received] = [
        sent("j", "i", start=10.02),
        sent("i", "r"),
        sent("r", "c", "server"),
        record("p", "c"),
    ]
    assert merged(*given) == [("user", "i", "p"), ("user", "j", "i")]


def test_a_client_span_that_is_recorded_is_not_there_twice() -> None:
    given: list[Span | Received] = [
        record("p", None),
        record("c", "p", "client"),
        sent("c", "r", "client"),
        sent("d", "p", "client"),
    ]
    assert merged(*given) == [("user", "d", "p")]


def test_the_messages_of_an_asgi_application_are_left_out() -> None:
    given: list[Span | Received] = [record("p", None), sent("n", "p", is_noise=True), sent("m", "n", is_noise=True)]
    assert merged(*given, at_once=True) == []


def test_a_span_outside_of_any_call_is_a_trace_of_its_own() -> None:
    assert merged(sent("job", None)) == [("shop", "job", None)]
    assert merged(sent("part", "gone")) == []
    assert merged(sent("part", "gone"), at_once=True) == [("shop", "part", "gone")]


def test_errors_and_attributes_are_kept() -> None:
    appended: list[Span] = []
    Merger(appended.append).receive([sent("job", None, is_error=True, attributes={"db.statement": "SELECT 1"})])
    (span,) = appended
    assert (span.kind, span.name, span.status) == ("internal", "job", "ERROR")
    assert (span.request, span.request_type) == (b'{"db.statement": "SELECT 1"}', "application/json")
