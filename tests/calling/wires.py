"""Sockets by hand: an upstream that shows what arrived, and clients that leave in the middle of a request."""

from __future__ import annotations

import socket
import threading

from mesh import Address

#: Seconds for anything that is waited for.
PATIENCE = 40.0


class Upstream:
    """An HTTP server that takes one connection, sends `response` once the request's headers are there, and reads on.

    arrived: every byte of the request. `wait_for(part)` waits until a part of it has arrived, `wait_until_left()` until
    the other side has closed the connection.
    """

    def __init__(self, response: bytes = b"") -> None:
        self.arrived = b""
        self._response = response
        self._left = False
        self._news = threading.Condition()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self._connection: socket.socket | None = None
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        try:
            self._connection, _ = self._listener.accept()
            unsent = self._response
            while data := self._connection.recv(65536):
                with self._news:
                    self.arrived += data
                    self._news.notify_all()
                if unsent and b"\r\n\r\n" in self.arrived:
                    self._connection.sendall(unsent)
                    unsent = b""
        except OSError:
            pass
        with self._news:
            self._left = True
            self._news.notify_all()

    def wait_for(self, part: bytes) -> None:
        with self._news:
            assert self._news.wait_for(lambda: part in self.arrived, PATIENCE), self.arrived

    def wait_until_left(self) -> None:
        with self._news:
            assert self._news.wait_for(lambda: self._left, PATIENCE), self.arrived

    def break_off(self) -> None:
        """Close the connection as it stands."""
        assert self._connection is not None
        self._connection.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self._listener.close()
        if self._connection is not None:
            self._connection.close()
        self._thread.join(PATIENCE)


def connect(address: Address) -> socket.socket:
    return socket.create_connection((address.host, address.port), PATIENCE)


def everything_of(connection: socket.socket) -> bytes:
    """Return what arrives until the other side closes."""
    received = b""
    while data := connection.recv(65536):
        received += data
    return received
