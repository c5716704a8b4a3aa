"""Hand-made other sides: servers that count what they are asked, and ports on which nothing goes well."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import grpc

from mesh.store.pb import user_pb2

GET_USER = "/user.UserService/GetUser"


class GrpcPeer:
    """Answers GetUser as `answer` does; `asked` are the contexts it was asked with."""

    def __init__(self, answer: Callable[[Any, Any], Any], port: int = 0) -> None:
        self.asked: list[dict[str, Any]] = []
        self._answer = answer
        handler = grpc.unary_unary_rpc_method_handler(
            self._get,
            request_deserializer=user_pb2.GetUserRequest.FromString,
            response_serializer=user_pb2.User.SerializeToString,
        )
        self._server = grpc.server(ThreadPoolExecutor(4), options=[("grpc.so_reuseport", 0)])
        self._server.add_generic_rpc_handlers(
            [grpc.method_handlers_generic_handler("user.UserService", {"GetUser": handler})]
        )
        self.port = self._server.add_insecure_port(f"127.0.0.1:{port}")
        self.address = f"127.0.0.1:{self.port}"
        self._server.start()

    def _get(self, request: Any, context: Any) -> Any:
        self.asked.append({"left": context.time_remaining(), **dict(context.invocation_metadata())})
        return self._answer(request, context)

    def close(self) -> None:
        self._server.stop(0).wait()


class HttpPeer:
    """Answers every request with this status, JSON and headers; `asked` are the paths and headers it was asked with.

    headers: `{inner}` in a value stands for the peer's own origin, `http://127.0.0.1:PORT`.
    """

    def __init__(
        self,
        status: int,
        content: object,
        content_type: str = "application/json",
        headers: Sequence[tuple[str, str]] = (),
    ) -> None:
        self.asked: list[dict[str, str]] = []
        peer, body = self, json.dumps(content).encode()

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                peer.asked.append({"path": self.path} | {k.lower(): v for k, v in self.headers.items()})
                self.send_response(status)
                self.send_header("Content-Type", content_type)
                self.send_header("Content-Length", str(len(body)))
                for name, value in headers:
                    self.send_header(name, value.format(inner=f"http://{peer.address}"))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.address = f"127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@contextmanager
def refused() -> Iterator[str]:
    """The address of a port that is held, so that nobody takes it, and not listened on."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield f"127.0.0.1:{held.getsockname()[1]}"


class Hung:
    """A port whose connections are taken by the system and never answered; with `resets`, cut as soon as they speak."""

    def __init__(self, *, resets: bool = False) -> None:
        self.connected = 0
        self._resets = resets
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self._open: list[socket.socket] = []
        self._thread = threading.Thread(target=self._accept)
        self._thread.start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connected += 1
            self._open.append(connection)
            if self._resets and connection.recv(1):
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
                connection.close()

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()
        for connection in self._open:
            connection.close()
