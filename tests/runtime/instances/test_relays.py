"""A relay between two sockets: each side may end its half first, be slow, or be cut off."""

from __future__ import annotations

import contextlib
import gc
import socket
import threading
from collections.abc import Iterator
from contextlib import closing

import pytest

from mesh.runtime.instances.relays import Relay
from mesh.sockets import connect
from mesh.topology.model import Address
from tests.support.ports import free_row

WITHIN = 30.0


@pytest.fixture
def target() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(WITHIN)
        yield listening


@pytest.fixture
def published(target: socket.socket) -> Iterator[int]:
    address = Address("127.0.0.1", free_row(1))
    with closing(Relay(address, Address("127.0.0.1", target.getsockname()[1]))):
        yield address.port
    gc.collect()  # A connection that was left open is told here.


def accepted(target: socket.socket) -> socket.socket:
    connection, _ = target.accept()
    connection.settimeout(WITHIN)
    return connection


def everything(connection: socket.socket) -> bytes:
    with connection.makefile("rb") as stream:
        return stream.read()


def fill(connection: socket.socket) -> None:
    """Send until neither side's system takes more."""
    with contextlib.suppress(BlockingIOError):
        while True:
            connection.send(bytes(65536))


def test_a_client_that_has_sent_everything_is_answered_after_a_garbage_collection(
    target: socket.socket, published: int
) -> None:
    with connect("127.0.0.1", published, WITHIN) as client:
        client.sendall(b"question")
        client.shutdown(socket.SHUT_WR)
        with accepted(target) as server:
            assert everything(server) == b"question"
            gc.collect()
            server.sendall(b"answer")
        assert everything(client) == b"answer"


def test_what_a_slow_client_has_not_read_yet_is_kept_for_it(target: socket.socket, published: int) -> None:
    answer = bytes(range(256)) * 40_000
    with connect("127.0.0.1", published, WITHIN) as client, accepted(target) as server:
        sending = threading.Thread(target=lambda: (server.sendall(answer), server.close()))
        sending.start()
        client.shutdown(socket.SHUT_WR)
        first = client.recv(1)
        # The system keeps some of it for a connection; the rest waits in the relay.
        assert first + everything(client) == answer
        sending.join(WITHIN)


def test_connections_end_with_their_relay(target: socket.socket) -> None:
    address = Address("127.0.0.1", free_row(1))
    relay = Relay(address, Address("127.0.0.1", target.getsockname()[1]))
    with connect("127.0.0.1", address.port, WITHIN) as client, accepted(target) as server:
        # One that has just come, and one that sends more than anybody reads.
        with connect("127.0.0.1", address.port, WITHIN) as late:
            server.setblocking(False)
            fill(server)
            relay.close()
            assert everything(late) == b""
        server.settimeout(WITHIN)
        with pytest.raises(ConnectionResetError):
            server.recv(1)
        assert client.recv(1) == b"\0"
    gc.collect()


def test_a_client_is_let_go_where_nothing_listens_any_more(target: socket.socket, published: int) -> None:
    target.close()
    with connect("127.0.0.1", published, WITHIN) as client:
        assert everything(client) == b""
