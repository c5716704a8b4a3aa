"""Calls and lines arrive at a collector, with the names of the semantic conventions."""

from __future__ import annotations

from contextlib import closing
from signal import SIGINT

import pytest
import requests

from mesh.errors import UsageError
from mesh.export.exporter import Exporter
from mesh.observing.journal import Line
from mesh.observing.secrets import Secrets
from mesh.observing.span import Span
from tests.export.collector import attributes, collecting
from tests.support.ports import free_row
from tests.support.programs import Shell

TRACE = "0af7651916cd43dd8448eb211c80319c"


def test_an_order_of_the_store_is_one_trace_at_the_collector(shell: Shell) -> None:
    base = free_row(7)
    with collecting() as collector:
        mesh = shell.start("up", "--port-base", str(base), "--memory", "--otlp", collector.url)
        mesh.line("order-service    http")
        order = {"user_id": 1, "product_id": 1, "quantity": 1}
        requests.post(f"http://127.0.0.1:{base + 1}/api/orders?token=t&x=1", json=order, timeout=30)
        collector.wait(7, 0)
        assert mesh.end(SIGINT) == 130
    found = {(service, span.name, span.kind): span for service, span in collector.spans}
    assert {key for key in found if key[2] == 2} == {
        ("gateway", "POST /api/orders", 2),
        ("order-service", "POST /orders", 2),
        ("user-service", "user.UserService/GetUser", 2),
        ("product-service", "product.ProductService/GetProduct", 2),
    }
    assert len({span.trace_id for span in found.values()}) == 1
    known = {span.span_id for span in found.values()}
    assert [key for key, span in found.items() if span.parent_span_id not in known] == [
        ("gateway", "POST /api/orders", 2)
    ]
    http, rpc = found["gateway", "POST /api/orders", 2], found["user-service", "user.UserService/GetUser", 2]
    shown = attributes(http)
    assert {name: shown[name] for name in ("http.request.method", "url.path", "url.query", "url.scheme")} == {
        "http.request.method": "POST",
        "url.path": "/api/orders",
        "url.query": "token=***&x=1",
        "url.scheme": "http",
    }
    assert shown["http.response.status_code"] == 201
    assert attributes(rpc) == {
        "rpc.system.name": "grpc",
        "rpc.method": "user.UserService/GetUser",
        "rpc.response.status_code": "OK",
        "mesh.generation": 1,
    }
    assert not any(b"Ada" in span.SerializeToString() for span in found.values())  # no payloads


def test_lines_errors_and_attempts_are_told() -> None:
    failed = Span("web", "server", "http", "GET", "/", TRACE, "a" * 16, None, 1.5, 2.0, "500", cause="KeyError: 'x'")
    again = Span("web", "client", "grpc", "/u.U/Get", "", TRACE, "b" * 16, "a" * 16, 1.5, 1.0, "NOT_FOUND", attempt=2)
    again.declared, again.peer, again.way = "users:50051", "user", "user.http 503 -> grpc"
    with collecting() as collector:
        with closing(Exporter(f"{collector.url}/", Secrets(), pytest.fail)) as exporter:
            for entry in (failed, again, Line("web", "oh", "stderr", 2.0, TRACE, "a" * 16, "WARNING")):
                exporter(entry)
        collector.wait(2, 1)
    (_, first), (_, second) = collector.spans
    assert (first.status.code, first.status.message) == (2, "KeyError: 'x'")
    assert attributes(first)["error.type"] == "500"
    assert (first.start_time_unix_nano, first.end_time_unix_nano) == (1_500_000_000, 1_502_000_000)
    shown = attributes(second)
    assert (shown["server.address"], shown["server.port"], shown["service.peer.name"]) == ("users", 50051, "user")
    assert (shown["mesh.attempt"], shown["mesh.fallback"]) == (2, "user.http 503 -> grpc")
    assert second.parent_span_id == first.span_id
    ((service, record),) = collector.records
    assert (service, record.body.string_value, record.severity_text, record.severity_number) == (
        "web",
        "oh",
        "WARNING",
        13,
    )
    assert (record.trace_id.hex(), record.span_id, attributes(record)) == (
        TRACE,
        first.span_id,
        {"log.iostream": "stderr"},
    )


def test_a_collector_that_is_not_there_is_told_once_and_what_is_left_out_counted() -> None:
    told: list[str] = []
    url = f"http://127.0.0.1:{free_row(1)}"
    with closing(Exporter(url, Secrets(), told.append)) as exporter:
        for _ in range(2):
            exporter(Line("web", "x"))
            exporter(Span("web", "server", "http", "GET", "/", TRACE, "a" * 16, None, 1.5))
    assert exporter.lost == 4
    assert len(told) == 1
    assert told[0].startswith(f"{url} takes no OTLP: ")


def test_an_address_that_is_none_is_a_mistake_with_the_way_out() -> None:
    with pytest.raises(UsageError, match="--otlp localhost:4318: write the address of a collector, such as http"):
        Exporter("localhost:4318", Secrets(), pytest.fail)
