"""A relay between two sockets: each side may end its half first, be slow, or be cut off."""

from __future__ import annotations

import contextlib
import gc
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
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
    """One that has just come, one that waits, and one that gets more than it reads: it must not take that for all."""
    address = Address("127.0.0.1", free_row(1))
    relay = Relay(address, Address("127.0.0.1", target.getsockname()[1]))
    with connect("127.0.0.1", address.port, WITHIN) as idle, accepted(target) as waiting:
        with connect("127.0.0.1", address.port, WITHIN) as slow, accepted(target) as server:
            sending = ThreadPoolExecutor(1).submit(server.sendall, bytes(50_000_000))
            assert slow.recv(1) == b"\0"
            with connect("127.0.0.1", address.port, WITHIN) as late:
                relay.close()
                with contextlib.suppress(ConnectionResetError):
                    assert everything(late) == b""
            with pytest.raises(OSError, match=r"Broken pipe|reset by peer"):
                sending.result(WITHIN)
            with pytest.raises(ConnectionResetError):
                everything(slow)
        with pytest.raises(ConnectionResetError):
            idle.recv(1)
        assert waiting.recv(1) == b""
    gc.collect()


@pytest.mark.parametrize("size", [1, 5_000_000])
def test_the_last_answer_arrives_though_the_relay_ends(target: socket.socket, size: int) -> None:
    address = Address("127.0.0.1", free_row(1))
    relay = Relay(address, Address("127.0.0.1", target.getsockname()[1]))
    with ThreadPoolExecutor(1) as pool, connect("127.0.0.1", address.port, WITHIN) as client:
        server = accepted(target)
        reading = pool.submit(everything, client)
        server.sendall(bytes(size))
        server.close()
        relay.close()
        assert len(reading.result(WITHIN)) == size


def test_an_answer_that_breaks_off_is_an_error_for_the_client(target: socket.socket, published: int) -> None:
    with connect("127.0.0.1", published, WITHIN) as client:
        with accepted(target) as server:
            client.sendall(b"question")
            assert server.recv(1, socket.MSG_PEEK) == b"q"
            server.sendall(b"ans")
            assert client.recv(3) == b"ans"
        with pytest.raises(ConnectionResetError):  # The system breaks a connection with something unread in it.
            client.recv(1)


def test_an_early_answer_arrives_whole_though_the_rest_of_the_request_is_not_wanted(
    target: socket.socket, published: int
) -> None:
    with connect("127.0.0.1", published, WITHIN) as client, accepted(target) as server:
        server.shutdown(socket.SHUT_RD)
        client.sendall(b"q")
        assert server.recv(1) in (b"", b"q")
        server.sendall(b"too large")
        server.shutdown(socket.SHUT_WR)
        assert everything(client) == b"too large"


def test_a_client_is_let_go_where_nothing_listens_any_more(target: socket.socket, published: int) -> None:
    target.close()
    with connect("127.0.0.1", published, WITHIN) as client:
        assert everything(client) == b""
