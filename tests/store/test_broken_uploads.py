"""An upload that the client breaks off makes nothing, whichever listener of the store it came in at."""

from __future__ import annotations

import queue
import socket
from typing import Any

import pytest

from mesh.observing.journal import Line
from mesh.observing.span import Span
from mesh.pytest_plugin import Mesh

USER = b'{"name":"Ada","email":"ada@example.com"}'
ORDER = b'{"user_id":1,"product_id":1,"quantity":1}'


@pytest.mark.parametrize("framing", ["chunked", "announced"])
@pytest.mark.parametrize(("service", "path", "body", "listed"), [
    ("user-service", "/users", USER, "/users"),
    ("user-service", "/users:import", USER, "/users"),
    ("order-service", "/orders", ORDER, "/orders"),
    ("gateway", "/api/users", USER, "/api/users"),
    ("gateway", "/api/orders", ORDER, "/api/orders"),
    ("gateway", "/api/grpc/users", USER, "/api/users"),
])  # fmt: skip
def test_what_looks_whole_but_has_no_end_is_not_stored(
    mesh: Mesh, service: str, path: str, body: Any, listed: str, framing: str
) -> None:
    before = mesh.http(service).get(listed).json()
    address = mesh.address(f"{service}.http")
    entries: queue.SimpleQueue[Any] = queue.SimpleQueue()
    unsubscribe = mesh.supervisor.journal.subscribe(entries.put)
    head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\n".encode()
    if framing == "chunked":
        sent = head + b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n" % (len(body), body)
    else:
        sent = head + b"Content-Length: %d\r\n\r\n%s" % (len(body) + 1, body)
    with socket.create_connection((address.host, address.port)) as client:
        client.sendall(sent)
    told: list[Any] = []
    while not told or not isinstance(told[-1], Span) or (told[-1].service, told[-1].name) != (service, f"POST {path}"):
        told.append(entries.get(timeout=60))
    unsubscribe()
    assert told[-1].status == "499"
    assert mesh.http(service).get(listed).json() == before
    assert not [each.text for each in told if isinstance(each, Line) and "Traceback" in each.text]
