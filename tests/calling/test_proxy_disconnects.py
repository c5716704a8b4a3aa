"""Either side breaks off in the middle of a proxied request: the other learns of it, and no part passes for a whole."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from mesh import Address, Supervisor
from mesh.store.topology import store
from mesh.topology.selection import renumber, select
from tests.calling.wires import Upstream, connect, everything_of

POST = b"POST /api/users HTTP/1.1\r\nHost: localhost\r\n"
GET = b"GET /api/users HTTP/1.1\r\nHost: localhost\r\n\r\n"
BODY = b'{"name":"Ada","email":"ada@example.com"}'
ENDLESS = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n"

Gateway = Callable[[str], Address]


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def gateway(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stack: ExitStack) -> Gateway:
    """`gateway("host:port")` runs it before a user service there; it returns the gateway's own address."""

    def start(address: str) -> Address:
        monkeypatch.setenv("MESH_USER_SERVICE_HTTP", address)
        declared = renumber(store(tmp_path), None, True)
        supervisor = Supervisor(select(declared, ["gateway"]))
        supervisor.start()
        stack.callback(supervisor.stop)
        return supervisor.directory.address("gateway", "http")

    return start


@pytest.mark.parametrize("head", [
    POST + b"Transfer-Encoding: chunked\r\n\r\n%x\r\n" % len(BODY),
    POST + b"Content-Length: 1000\r\n\r\n",
], ids=["chunked", "announced"])  # fmt: skip
def test_an_upload_that_the_client_breaks_off_is_broken_off_upstream(
    gateway: Gateway, stack: ExitStack, head: bytes
) -> None:
    upstream = stack.enter_context(closing(Upstream()))
    client = connect(gateway(upstream.address))
    client.sendall(head + BODY + (b"\r\n" if b"chunked" in head else b""))
    upstream.wait_for(BODY)
    client.close()
    upstream.wait_until_left()
    assert not upstream.arrived.endswith(b"0\r\n\r\n")


def test_a_client_that_leaves_before_the_response_ends_the_upstream_request(gateway: Gateway, stack: ExitStack) -> None:
    upstream = stack.enter_context(closing(Upstream()))
    client = connect(gateway(upstream.address))
    client.sendall(GET)
    upstream.wait_for(b"\r\n\r\n")
    client.close()
    upstream.wait_until_left()


def test_a_client_that_leaves_during_the_response_ends_the_upstream_request(gateway: Gateway, stack: ExitStack) -> None:
    upstream = stack.enter_context(closing(Upstream(ENDLESS)))
    client = connect(gateway(upstream.address))
    client.sendall(GET)
    received = b""
    while b"first" not in received:
        received += client.recv(65536)
    client.close()
    upstream.wait_until_left()


def test_a_response_that_upstream_breaks_off_is_broken_off_for_the_client(gateway: Gateway, stack: ExitStack) -> None:
    upstream = stack.enter_context(closing(Upstream(ENDLESS)))
    client = stack.enter_context(closing(connect(gateway(upstream.address))))
    client.sendall(GET)
    upstream.wait_for(b"\r\n\r\n")
    received = b""
    while b"first" not in received:
        received += client.recv(65536)
    upstream.break_off()
    received += everything_of(client)
    assert received.startswith(b"HTTP/1.1 200 OK\r\n")
    assert received.endswith(b"5\r\nfirst\r\n")
