"""Journal entries as lines of text."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from mesh.commands.terminal.lines import Header, Style, banner, failure, line_of, style_for, tree
from mesh.observing.journal import Change, Line
from mesh.observing.span import Span
from mesh.runtime.messages import ServiceState, Snapshot
from mesh.topology.model import Address

PLAIN = Style(colour=False, width=12)
COLOURED = Style(colour=True, width=12)


def span(service: str, span_id: str, parent_id: str | None = None, **changes: object) -> Span:
    given: dict[str, object] = {"kind": "server", "protocol": "http", "method": "GET", "target": "/", "start": 0.0}
    given |= {"milliseconds": 1.26, "status": "200", "trace_id": "t", "is_root": parent_id is None} | changes
    return Span(service=service, span_id=span_id, parent_id=parent_id, **given)  # type: ignore[arg-type]  # as above


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("plain ✓", "plain ✓"),
        ("a\tb", "a\tb"),
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x1b[2K\x1b[1A\x1b[2K\x1b[G\x1b[?25l[3%] set-up", "[3%] set-up"),
        ("\x1b]0;title\x07", r"\x1b]0;title\x07"),
        ("c1 \x9b31m", r"c1 \x9b31m"),
        ("del \x7f", r"del \x7f"),
        ("user \u202egnp.exe \u2066x\u2069", r"user \u202egnp.exe \u2066x\u2069"),
        ("line separator \u2028", r"line separator \u2028"),
        ("progress 1 %\rprogress 2 %", r"progress 1 %\x0dprogress 2 %"),
        (
            "login of x\r\n12:00:00 user          login of admin",
            r"login of x\x0d\x0a12:00:00 user          login of admin",
        ),
    ],
)
def test_what_a_service_writes_cannot_control_the_terminal(written: str, shown: str) -> None:
    (line,) = line_of(Line("user", written), PLAIN)
    assert line.partition("user          ")[2] == shown


def test_each_line_of_a_text_stands_under_the_services_name() -> None:
    first, second = line_of(Line("user", "one\ntwo"), PLAIN)
    assert first.endswith(" user          one")
    assert second.endswith(" user          two")


def test_a_reason_and_the_name_of_a_topology_stay_on_their_line() -> None:
    (line,) = failure(Change("user", "failed", "ValueError: a\n12:00:00 user          fine"), PLAIN)
    assert line.endswith(r"failed: ValueError: a\x0a12:00:00 user          fine")
    header = Header("1", Snapshot("a\x1b]0;b\x07\nc", "running", ()), 1, "http://127.0.0.1:1")
    assert r"mesh 1  a\x1b]0;b\x07\x0ac  0 services" in banner(header, PLAIN)[0]


def test_a_path_cannot_begin_a_line_of_its_own() -> None:
    (line,) = tree([span("user", "a", target="/x\n12:00:00 user fake")], PLAIN)
    assert r"GET /x\x0a12:00:00 user fake" in line


def test_calls_stand_under_their_callers_in_the_order_they_began() -> None:
    spans = [
        span("gateway", "a", method="POST", target="/api/orders?key=1", status="201"),
        span("product", "d", "b", start=3.0, protocol="grpc", method="/product.ProductService/GetProduct", status="OK"),
        span("user", "c", "b", start=2.0, protocol="grpc", method="/user.UserService/GetUser", status="OK"),
        span("order", "b", "a", start=1.0, method="POST", target="/orders", status="201"),
    ]
    assert [line[9:].rstrip() for line in tree(spans, PLAIN)] == [
        "gateway       POST /api/orders                        201       1.3 ms",
        "order           POST /orders                          201       1.3 ms",
        "user              grpc GetUser                        OK        1.3 ms",
        "product           grpc GetProduct                     OK        1.3 ms",
    ]


def test_a_failed_service_comes_with_its_state_and_counts_in_the_banner() -> None:
    services = (
        ServiceState("user", "ready", (Address("127.0.0.1", 5001),), Address("127.0.0.1", 50051)),
        ServiceState("order", "failed", (Address("127.0.0.1", 5003), Address("127.0.0.1", 5004)), reason="broken"),
    )
    header = Header("1.2", Snapshot("store", "running", services), 147.6, "http://127.0.0.1:4999")
    assert banner(header, PLAIN) == [
        "mesh 1.2  store  2 services  4 ports  1 of 2 ready, 1 failed, in 148 ms",
        "http://127.0.0.1:4999",
        "",
        "  user          http://127.0.0.1:5001  grpc 127.0.0.1:50051",
        "  order         failed  http://127.0.0.1:5003  :5004",
        "",
    ]
    assert "\x1b[31mfailed\x1b[0m" in banner(header, COLOURED)[4]
    assert banner(replace(header, link="http://127.0.0.1:4999/?token=t"), PLAIN)[1] == "http://127.0.0.1:4999/?token=t"


def test_a_failure_does_not_say_the_name_twice() -> None:
    (line,) = failure(Change("user", "failed", "user: app.py:1: SyntaxError"), PLAIN)
    assert line.endswith(" user          failed: app.py:1: SyntaxError")


@pytest.mark.parametrize(
    ("status", "colour"),
    [("200", None), ("OK", None), ("404", "33"), ("NOT_FOUND", "33"), ("503", "31"), ("INTERNAL", "31")],
)
def test_an_error_of_the_caller_is_yellow_and_one_of_the_service_red(status: str, colour: str | None) -> None:
    (line,) = tree([span("user", "a", status=status)], COLOURED)
    after = line[line.index("GET /") :]
    assert (f"\x1b[{colour}m{status}" in after) if colour else ("\x1b" not in after)


def test_a_call_of_a_client_is_a_line_where_nobody_here_answered_it() -> None:
    spans = [
        span("web", "a"),
        span("web", "b", "a", kind="client", start=1.0, peer="user", protocol="grpc", method="/user.Users/Get"),
        span("user", "c", "b", start=1.5, protocol="grpc", method="/user.Users/Get", status="OK"),
        span("web", "d", "a", kind="client", start=2.0, declared="example.org:443", target="/x"),
        span("web", "e", "a", kind="client", start=3.0, declared="gone:80", status="", error="ConnectionRefusedError"),
        span("web", "f", "a", kind="client", start=4.0, peer="user", protocol="grpc", status="UNAVAILABLE"),
        span("web", "g", "a", kind="client", start=5.0, way="user.grpc UNAVAILABLE -> http", attempt_of="f"),
        span("user", "h", "g", start=5.5),
    ]
    assert [line[9:].rstrip() for line in tree(spans, PLAIN)] == [
        "web           GET /                                   200       1.3 ms",
        "user            grpc Get                              OK        1.3 ms",
        "web             -> example.org:443 GET /x             200       1.3 ms",
        "web             -> gone:80 GET /                      ConnectionRefusedError     1.3 ms",
        "web             user.grpc UNAVAILABLE -> http         200       1.3 ms",
        "user            GET /                                 200       1.3 ms",
    ]


def test_a_slow_call_is_marked_and_a_failed_one_has_its_cause_below() -> None:
    spans = [
        span("web", "a", status="500", milliseconds=1500.0),
        span("user", "b", "a", start=1.0, status="500", cause="KeyError: '1' at user.py:7 in find"),
        span("user", "c", "a", start=2.0, milliseconds=1500.0, response_type="text/event-stream"),
    ]
    assert [line[9:].rstrip() for line in tree(spans, PLAIN)] == [
        "web           GET /                                   500    1500.0 ms  slow",
        "user            GET /                                 500       1.3 ms",
        "user              KeyError: '1' at user.py:7 in find",
        "user            GET /                                 200    1500.0 ms",
    ]


def test_only_what_is_logged_as_an_error_is_red() -> None:
    for line, is_red in (
        (Line("user", "usage: 1", "stderr"), False),
        (Line("user", "careful", "stderr", level="WARNING"), False),
        (Line("user", "broken", "stdout", level="ERROR"), True),
    ):
        assert ("\x1b[31m" in line_of(line, COLOURED)[0]) is is_red


def test_each_service_has_a_colour_that_is_neither_that_of_errors_nor_of_warnings() -> None:
    style = style_for(["gateway", "user", "order"], True, 80)
    shown = [line_of(Line(name, "x"), style)[0].split(" ", 1)[1] for name in style.names]
    assert shown == [
        "\x1b[36mgateway\x1b[0m  x",
        "\x1b[32muser   \x1b[0m  x",
        "\x1b[35morder  \x1b[0m  x",
    ]


def test_the_name_of_a_service_that_was_added_later_is_whole() -> None:
    for columns in (80, None):
        style = style_for(["odd"], False, columns)
        assert line_of(Line("caller", "x"), style)[0].endswith(" caller  x")


def test_colours_of_a_service_pass_to_a_terminal_and_end_with_the_line() -> None:
    line = Line("user", "\x1b[1;32mok\x1b[0m \x1b[35mbright\x1b[2J")
    assert line_of(line, COLOURED)[0].endswith("\x1b[1;32mok\x1b[0m \x1b[35mbright\\x1b[2J\x1b[0m")
    assert line_of(line, PLAIN)[0].endswith(r"  ok bright\x1b[2J")


def test_one_long_name_among_twenty_leaves_room_for_the_calls_in_80_columns() -> None:
    names = [f"service-{number}" for number in range(19)] + ["a" * 25 + "-" + "b" * 24]
    style = style_for(names, False, 80)
    for line in tree([span(name, name) for name in names[-1:]], style):
        assert line[9:].rstrip() == "aaaaaaa…bbbbbbbb  GET /                               200       1.3 ms"
        assert len(line) <= 80
    services = tuple(ServiceState(name, "ready", (Address("127.0.0.1", 5001),)) for name in names)
    shown = banner(Header("1", Snapshot("t", "running", services), 1, "http://127.0.0.1:1"), style)
    assert shown[3] == "  service-0         http://127.0.0.1:5001"
    assert shown[22] == f"  {names[-1]}  http://127.0.0.1:5001"
