"""Creates that fail on their way: the caller learns whether they were executed, as docs/calling.md says."""

from __future__ import annotations

import socket
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Literal

import grpc
import pytest

from mesh.calling.peer.fallback import may_ask_again
from mesh.errors import Code, StatusError
from mesh.pytest_plugin import Mesh
from mesh.store.pb import user_pb2, user_pb2_grpc

Fault = Literal["none", "answer lost", "reset after the request", "reset before the request"]
BOB = user_pb2.CreateUserRequest(name="Bob", email="bob@example.com")


class Wire:
    """A TCP proxy of one connection that does, from the moment `fault` is set, what the name of the fault says."""

    def __init__(self, target: tuple[str, int]) -> None:
        self.fault: Fault = "none"
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self._server = socket.create_connection(target)
        self._client = self._listener  # until there is one
        self._threads = [threading.Thread(target=self._requests), threading.Thread(target=self._answers)]
        self._accepted = threading.Event()
        for thread in self._threads:
            thread.start()

    def _requests(self) -> None:
        self._client, _ = self._listener.accept()
        self._accepted.set()
        with suppress(OSError):
            while data := self._client.recv(65536):
                if self.fault == "reset before the request" and _has_headers(data):
                    self._reset()
                    return
                self._server.sendall(data)

    def _answers(self) -> None:
        self._accepted.wait()
        with suppress(OSError):
            while data := self._server.recv(65536):
                if self.fault == "reset after the request" and _has_headers(data):
                    self._reset()
                    return
                if self.fault != "answer lost":
                    self._client.sendall(data)

    def _reset(self) -> None:
        """Close with RST, as a crashed process or a dropped connection does."""
        self._client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._client.shutdown(socket.SHUT_RD)  # the other thread may hold it in recv(), and put the RST off
        self._client.close()
        self._listener.close()

    def close(self) -> None:
        for each in (self._client, self._server, self._listener):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()
        for thread in self._threads:
            thread.join()


def _has_headers(data: bytes) -> bool:
    """Return whether HTTP/2 HEADERS are among the frames: a PING or WINDOW_UPDATE may come before the call."""
    while len(data) >= 9:
        if data[3] == 1:
            return True
        data = data[9 + int.from_bytes(data[:3]) :]
    return False


@contextmanager
def wire_to(mesh: Mesh) -> Iterator[Wire]:
    address = mesh.address("user-service.grpc")
    wire = Wire((address.host, address.port))
    try:
        yield wire
    finally:
        wire.close()


@pytest.mark.parametrize(
    ("fault", "code", "executed"),
    [
        ("answer lost", "DEADLINE_EXCEEDED", True),
        ("reset after the request", "UNAVAILABLE", True),
        ("reset before the request", "UNAVAILABLE", False),
    ],
)
def test_the_error_does_not_tell_whether_a_create_was_executed(
    mesh: Mesh, fault: Fault, code: str, executed: bool
) -> None:
    with wire_to(mesh) as wire, grpc.insecure_channel(wire.address) as channel:
        stub = user_pb2_grpc.UserServiceStub(channel)
        assert len(stub.ListUsers(user_pb2.ListUsersRequest()).users) == 2
        wire.fault = fault
        with pytest.raises(grpc.RpcError) as caught:
            stub.CreateUser(BOB, timeout=2 if fault == "answer lost" else 30)
    error = StatusError(Code[caught.value.code().name], caught.value.details() or "")
    assert error.code.name == code
    assert "failed to connect" not in error.message
    assert not may_ask_again(error, safe=False)
    assert may_ask_again(error, safe=True)
    assert _count(mesh, 3 if executed else 2)


def test_a_refused_connection_says_that_nothing_was_executed(mesh: Mesh) -> None:
    with socket.socket() as unheard:
        unheard.bind(("127.0.0.1", 0))
        with (
            grpc.insecure_channel(f"127.0.0.1:{unheard.getsockname()[1]}") as channel,
            pytest.raises(grpc.RpcError) as caught,
        ):
            user_pb2_grpc.UserServiceStub(channel).CreateUser(BOB, timeout=30)
    error = StatusError(Code[caught.value.code().name], caught.value.details() or "")
    assert error.code is Code.UNAVAILABLE
    assert "failed to connect" in error.message
    assert may_ask_again(error, safe=False)


def _count(mesh: Mesh, wanted: int) -> bool:
    """Return whether there are so many users, as soon as there are; a request that was cut off may still be at work."""
    until = time.monotonic() + 60
    while (count := len(mesh.http("user-service").get("/users").json())) < wanted and time.monotonic() < until:
        pass
    return count == wanted
