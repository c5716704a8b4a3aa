"""uvicorn's protocol calls the methods that mesh overrides, and its server starts and stops in phases."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

from mesh.compat.uvicorn import STATUS_LINE, HttpToolsProtocol, PhasedServer, websocket_protocol

CALLED: list[str] = []


class Noting(HttpToolsProtocol):
    """Notes the callbacks in which mesh checks a request, and the attributes that it decides by."""

    def on_message_begin(self) -> None:
        CALLED.append("begin")
        super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        super().on_url(url)
        CALLED.append(self.url.decode())

    def on_header(self, name: bytes, value: bytes) -> None:
        super().on_header(name, value)
        CALLED.append(f"{name.decode().lower()}, {len(self.headers)} so far")

    def on_headers_complete(self) -> None:
        CALLED.append(f"headers of HTTP/{self.parser.get_http_version()}")
        if any(name == b"x-bad" for name, _ in self.headers):
            raise ValueError("bad")
        super().on_headers_complete()

    def send_400_response(self, msg: str) -> None:
        CALLED.append("refused")
        self.transport.write(STATUS_LINE[400] + b"\r\n")
        self.transport.close()

    def _should_upgrade_to_ws(self) -> bool:
        CALLED.append("upgrade")
        self.ws_protocol_class: Any = websocket_protocol()
        return True


async def app(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "websocket":
        await send({"type": "websocket.close"})
        return
    await send({"type": "http.response.start", "status": 204, "headers": []})
    await send({"type": "http.response.body"})


async def answer(port: int, *headers: str) -> str:
    """Return the status line of the answer to a GET with these headers."""
    CALLED.clear()
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write("\r\n".join(["GET /x HTTP/1.1", *headers, "", ""]).encode())
    line = (await reader.readline()).decode().strip()
    writer.close()
    return line


async def started(served: Any) -> tuple[PhasedServer, socket.socket, int]:
    bound = socket.create_server(("127.0.0.1", 0))
    server = PhasedServer(served, Noting)
    await server.start([bound])
    return server, bound, bound.getsockname()[1]


def test_the_protocol_calls_what_is_overridden_and_refuses_after_a_value_error() -> None:
    async def run() -> None:
        server, bound, port = await started(app)
        assert (await answer(port, "Host: a", "Connection: close")).startswith("HTTP/1.1 204")
        assert CALLED == ["begin", "/x", "host, 1 so far", "connection, 2 so far", "headers of HTTP/1.1"]
        assert await answer(port, "X-Bad: 1") == "HTTP/1.1 400 Bad Request"
        assert CALLED == ["begin", "/x", "x-bad, 1 so far", "headers of HTTP/1.1", "refused"]
        upgrade = ("Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13")
        key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="
        assert (await answer(port, "Host: a", *upgrade, key)).startswith("HTTP/1.1 403")
        assert CALLED[-1] == "upgrade"
        server.stop_listening()
        await server.end_requests([bound], 1)

    asyncio.run(run())


def test_requests_in_flight_are_tasks_that_end_or_are_cancelled_after_a_fraction_of_a_second() -> None:
    began, ended = asyncio.Event(), []

    async def endless(scope: Any, receive: Any, send: Any) -> None:
        began.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            ended.append("cancelled")
            raise

    async def run() -> None:
        server, bound, port = await started(endless)
        asking = asyncio.create_task(answer(port, "Host: a"))
        await began.wait()
        (task,) = server.tasks
        (connection,) = server.connections
        assert connection.cycle.more_body is False
        assert (connection.cycle.response_started, connection.cycle.response_complete) == (False, False)
        assert (connection.flow.read_paused, len(connection.pipeline)) == (False, 0)
        server.stop_listening()
        await server.end_requests([bound], 0.05)
        await asyncio.wait([task])
        assert ended == ["cancelled"]
        connection.transport.abort()
        await asyncio.wait([asking])

    asyncio.run(run())
