"""Requests that the HTTP servers refuse before any application sees them, while everyone else is served."""

from __future__ import annotations

import json
import socket
import threading
import time

import pytest

from mesh.pytest_plugin import Mesh
from mesh.serving.http.protocol import GuardedProtocol
from mesh.topology.model import Limits
from tests.serving.misbehaving import say

HEAD = b"GET /health HTTP/1.1\r\nHost: localhost\r\n"
END = b"Connection: close\r\n\r\n"


def parts(answer: bytes) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body of one answer."""
    head, _, body = answer.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    return int(first.split()[1]), {k.lower(): v for k, v in (line.split(": ", 1) for line in lines)}, body


def refused(answer: bytes) -> tuple[int, str]:
    """Status and message of an error, which is google.rpc.Status and the last answer on its connection."""
    status, headers, body = parts(answer)
    content = json.loads(body)
    assert (content["code"], content["details"]) == (3, [])
    assert (headers["content-type"], headers["connection"]) == ("application/json", "close")
    return status, content["message"]


@pytest.mark.parametrize(("host", "message"), [
    (b"", "a request needs exactly one Host header"),
    (b"Host: a\r\nHost: a\r\n", "a request needs exactly one Host header"),
    (b"Host: a\r\nhost: b\r\n", "a request needs exactly one Host header"),
    (b"Host: a b\r\n", "the Host header is not host[:port]"),
    (b"Host: a/b\r\n", "the Host header is not host[:port]"),
    (b"Host: user@a\r\n", "the Host header is not host[:port]"),
    (b"Host: a:port\r\n", "the Host header is not host[:port]"),
    (b"Host: [::1\r\n", "the Host header is not host[:port]"),
    (b"Host: <script>\r\n", "the Host header is not host[:port]"),
    (b"Host: \xff\r\n", "the Host header is not host[:port]"),
])  # fmt: skip
def test_a_request_needs_one_host_that_is_one(mesh: Mesh, host: bytes, message: str) -> None:
    answer = say(mesh.address("gateway.http"), b"GET /health HTTP/1.1\r\n" + host + END)
    assert refused(answer) == (400, message)


@pytest.mark.parametrize("host", [b"gateway", b"localhost:5000", b"127.0.0.1", b"[::1]:5000", b"my_1-x.localhost", b""])
def test_a_host_that_is_one_is_served(mesh: Mesh, host: bytes) -> None:
    answer = say(mesh.address("gateway.http"), b"GET /health HTTP/1.1\r\nHost: " + host + b"\r\n" + END)
    assert parts(answer)[0] == 200


def test_http_1_0_needs_no_host(mesh: Mesh) -> None:
    status, _, body = parts(say(mesh.address("user-service.http"), b"GET /health HTTP/1.0\r\n\r\n"))
    assert (status, body) == (200, b'{"status":"SERVING"}')


@pytest.mark.parametrize("content", [
    HEAD + b"X Y: 1\r\n" + END,
    HEAD + b"X: a\x00b\r\n" + END,
    HEAD + b": empty\r\n" + END,
    HEAD + b"no colon\r\n" + END,
    b"GET /health\nHost: localhost\n\n",
    b"GET /he alth HTTP/1.1\r\nHost: localhost\r\n" + END,
    b"get /health HTTP/1.1\r\nHost: localhost\r\n" + END,
    b"INVENTED /health HTTP/1.1\r\nHost: localhost\r\n" + END,
    b"GET /health HTTP/9.9\r\nHost: localhost\r\n" + END,
    b"GET http:// HTTP/1.1\r\nHost: localhost\r\n" + END,
    b"GET /\xff HTTP/1.1\r\nHost: localhost\r\n" + END,
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(200),
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    b"\x00" * 100,
    b"hello\r\n\r\n",
    HEAD + b"Content-Length: 1\r\nContent-Length: 2\r\n" + END + b"aa",
    HEAD + b"Content-Length: -1\r\n" + END,
    HEAD + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n" + END + b"0\r\n\r\n",
    HEAD + b"Transfer-Encoding: chunked\r\n" + END + b"zz\r\n",
])  # fmt: skip
def test_what_is_no_http_is_400_and_the_end_of_the_connection(mesh: Mesh, content: bytes) -> None:
    before = len(mesh.supervisor.journal.entries())
    status, _ = refused(say(mesh.address("gateway.http"), content))
    assert status == 400
    assert [entry for entry in mesh.supervisor.journal.entries()[before:] if "Traceback" in str(entry)] == []
    assert mesh.http("gateway").get("/health").status_code == 200


@pytest.mark.parametrize(("content", "status"), [
    (HEAD + b"X: " + b"a" * 1_000_000 + b"\r\n" + END, 431),
    (HEAD + b"X" * 1_000_000 + b": a\r\n" + END, 431),
    (HEAD + b"".join(b"X-%d: a\r\n" % n for n in range(1000)) + END, 431),
    (HEAD + b"X: " + b"a" * 1_000_000, 431),
    (b"GET /" + b"a" * 65536 + b" HTTP/1.1\r\nHost: localhost\r\n" + END, 414),
    (b"GET /?" + b"a" * 65536 + b" HTTP/1.1\r\nHost: localhost\r\n" + END, 414),
])  # fmt: skip
def test_a_head_over_the_limits_is_refused(mesh: Mesh, content: bytes, status: int) -> None:
    found, message = refused(say(mesh.address("gateway.http"), content))
    assert found == status
    assert message.startswith("more than 100 headers" if status == 431 else "the request target is longer") or (
        message == "more than 32768 bytes of headers"
    )
    assert mesh.http("gateway").get("/health").status_code == 200


@pytest.mark.parametrize("begun", [b"", b"G", HEAD, HEAD + b"X: half"])
def test_a_head_that_does_not_come_ends_the_connection_and_nobody_elses(
    mesh: Mesh, monkeypatch: pytest.MonkeyPatch, begun: bytes
) -> None:
    monkeypatch.setattr(GuardedProtocol, "limits", Limits(header_seconds=0.2))
    address = mesh.address("gateway.http")
    with socket.create_connection((address.host, address.port), timeout=30) as connection:
        connection.sendall(begun)
        started = time.monotonic()
        assert mesh.http("gateway").get("/health").status_code == 200
        assert connection.recv(1000) == b""
        assert time.monotonic() - started > 0.1


def test_slow_heads_are_not_kept_open_by_a_byte_now_and_then(mesh: Mesh, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(GuardedProtocol, "limits", Limits(header_seconds=0.2))
    address = mesh.address("gateway.http")
    with socket.create_connection((address.host, address.port), timeout=0.05) as connection:
        connection.sendall(HEAD)
        started = time.monotonic()
        received = None
        while received is None and time.monotonic() - started < 60:
            try:
                connection.sendall(b"X")
                received = connection.recv(1000)
            except TimeoutError:
                continue
            except OSError:
                received = b""
        assert received == b""


BODY = b"POST /api/orders HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"


@pytest.mark.parametrize("begun", [b"", b'{"user_id": 1'])
def test_an_announced_body_that_does_not_come_is_408_and_nobody_elses_affair(
    mesh: Mesh, monkeypatch: pytest.MonkeyPatch, begun: bytes
) -> None:
    monkeypatch.setattr(GuardedProtocol, "limits", Limits(body_seconds=0.2))
    address = mesh.address("gateway.http")
    with socket.create_connection((address.host, address.port), timeout=30) as connection:
        connection.sendall(BODY + b"Content-Length: 100\r\n\r\n" + begun)
        assert mesh.http("gateway").get("/health").status_code == 200
        answer = b"".join(iter(lambda: connection.recv(1000), b""))
    assert refused(answer) == (408, "nothing of the announced body has arrived for 0.2 s")
    until, pause = time.monotonic() + 30, threading.Event()
    while mesh.supervisor.journal.in_flight and time.monotonic() < until:
        pause.wait(0.01)
    assert mesh.supervisor.journal.in_flight == {}


def test_a_slow_body_is_waited_for_as_long_as_some_of_it_comes(mesh: Mesh, monkeypatch: pytest.MonkeyPatch) -> None:
    order = b'{"user_id":1,"product_id":1,"quantity":1}'
    monkeypatch.setattr(GuardedProtocol, "limits", Limits(body_seconds=2.0))
    address = mesh.address("gateway.http")
    with socket.create_connection((address.host, address.port), timeout=30) as connection:
        connection.sendall(BODY + b"Content-Length: %d\r\nConnection: close\r\n\r\n" % len(order))
        started = time.monotonic()
        connection.settimeout(0.25)
        for at in range(0, len(order), 4):
            with pytest.raises(TimeoutError):
                connection.recv(1)
            connection.sendall(order[at : at + 4])
        assert time.monotonic() - started > 2.0
        connection.settimeout(30)
        assert parts(b"".join(iter(lambda: connection.recv(1000), b"")))[0] == 201


def test_pipelined_requests_are_answered_in_order(mesh: Mesh) -> None:
    paths = ["/users/1", "/users/99", "/users/2", "/health"] * 10
    asked = b"".join(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode() for path in paths[:-1])
    answers = say(mesh.address("user-service.http"), asked + HEAD + END)
    statuses = [int(part[:3]) for part in answers.split(b"HTTP/1.1 ")[1:]]
    assert statuses == [200, 404, 200, 200] * 10


def test_a_kept_connection_without_a_request_is_closed(mesh: Mesh, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(GuardedProtocol, "limits", Limits(idle_seconds=0.2))
    address = mesh.address("gateway.http")
    with socket.create_connection((address.host, address.port), timeout=30) as connection:
        connection.sendall(HEAD + b"\r\n")
        while received := connection.recv(1000):
            assert received.startswith(b"HTTP/1.1 ")
