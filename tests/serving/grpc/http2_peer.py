"""HTTP/2 by hand, for what no gRPC library would send."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Callable
from typing import Any

import h2.config
import h2.connection
import h2.events

from mesh import Address


def framed(message: bytes) -> bytes:
    """Return a message as gRPC puts it into DATA."""
    return b"\x00" + struct.pack(">I", len(message)) + message


def ask(address: Address, path: str, message: bytes, *headers: tuple[str, str]) -> tuple[dict[str, str], bytes]:
    """Return all headers and trailers that answer one call, and its data."""
    connection = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True, header_encoding="utf-8"))
    connection.initiate_connection()
    required = [(":method", "POST"), (":scheme", "http"), (":path", path), (":authority", str(address))]
    grpc_headers = [("te", "trailers"), ("content-type", "application/grpc"), *headers]
    connection.send_headers(1, [*required, *grpc_headers])
    connection.send_data(1, framed(message), end_stream=True)
    found: dict[str, str] = {}
    data = b""
    with socket.create_connection((address.host, address.port), timeout=30) as link:
        while True:
            link.sendall(connection.data_to_send())
            for event in connection.receive_data(link.recv(65536)):
                if isinstance(event, h2.events.ResponseReceived | h2.events.TrailersReceived):
                    found |= {str(name): str(value) for name, value in event.headers}
                elif isinstance(event, h2.events.DataReceived):
                    data += event.data
                elif isinstance(event, h2.events.StreamEnded):
                    return found, data[5:]


def pings(address: Address, count: int) -> int:
    """Return how many pings came over an idle connection, once there were so many or the server has left."""
    connection = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True))
    connection.initiate_connection()
    found = 0
    with socket.create_connection((address.host, address.port), timeout=30) as link:
        link.sendall(connection.data_to_send())
        while found < count and (data := link.recv(65536)):
            found += sum(isinstance(event, h2.events.PingReceived) for event in connection.receive_data(data))
            link.sendall(connection.data_to_send())
    return found


Deed = Callable[["Conversation", int], None]


class Http2Server:
    """Answers each call by a deed, which is given the conversation and the call's stream.

    streams: of each connection so far, how many calls it carried. most: the largest number of calls at one time.
    """

    def __init__(self, deed: Deed, settings: dict[int, int] | None = None) -> None:
        self.deed = deed
        self.settings = settings or {}
        self.streams: list[int] = []
        self.most = 0
        self.acknowledged = 0
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.address = Address("127.0.0.1", self._socket.getsockname()[1])
        self._links: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        for each in (self._socket, *self._links):
            each.close()

    def _accept(self) -> None:
        while True:
            try:
                link, _ = self._socket.accept()
            except OSError:
                return
            self._links.append(link)
            self.streams.append(0)
            threading.Thread(target=Conversation(self, link, len(self.streams) - 1).run, daemon=True).start()


class Conversation:
    """One connection of a client."""

    def __init__(self, server: Http2Server, link: socket.socket, index: int) -> None:
        self.server = server
        self.link = link
        self.index = index
        self.h2 = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False, header_encoding="utf-8"))
        self._open: set[int] = set()
        self._is_gone = False

    def run(self) -> None:
        self.h2.initiate_connection()
        if self.server.settings:
            self.h2.update_settings(self.server.settings)
        try:
            self.flush()
            while data := self.link.recv(65536):
                if self._is_gone:
                    continue  # until the client hangs up
                for event in self.h2.receive_data(data):
                    self._handle(event)
                self.flush()
        except OSError:
            pass
        finally:
            self.link.close()

    def flush(self) -> None:
        self.link.sendall(self.h2.data_to_send())

    def _handle(self, event: Any) -> None:
        if isinstance(event, h2.events.RequestReceived):
            self._open.add(event.stream_id)
            self.server.streams[self.index] += 1
            self.server.most = max(self.server.most, len(self._open))
        elif isinstance(event, h2.events.StreamEnded):
            self.server.deed(self, event.stream_id)
            self._open.discard(event.stream_id)
        elif isinstance(event, h2.events.PingAckReceived):
            self.server.acknowledged += 1

    def head(self, stream: int) -> None:
        self.h2.send_headers(stream, [(":status", "200"), ("content-type", "application/grpc")])

    def answer(self, stream: int, message: bytes) -> None:
        self.head(stream)
        self.h2.send_data(stream, framed(message))
        self.h2.send_headers(stream, [("grpc-status", "0")], end_stream=True)

    def go_away(self, stream: int) -> None:
        self.h2.close_connection(last_stream_id=stream)
        self._is_gone = True
