"""uvicorn's HTTP protocol, and the phases of its server: neither is documented."""

from __future__ import annotations

import socket
import ssl
from asyncio import Task
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from uvicorn import Config, Server
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

if TYPE_CHECKING:
    from starlette.types import ASGIApp

__all__ = ["STATUS_LINE", "HttpToolsProtocol", "PhasedServer", "websocket_protocol"]


def websocket_protocol() -> Any:
    """Return the class that a connection is handed to when it becomes a WebSocket; imported here, as it takes 30 ms."""
    from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

    return WebSocketsSansIOProtocol


class PhasedServer:
    """A uvicorn server without its main loop, which would wake ten times a second, and without a lifespan."""

    def __init__(self, app: ASGIApp, protocol: type[HttpToolsProtocol]) -> None:
        self._config = Config(
            app=app,
            http=protocol,
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            date_header=False,
        )
        self._server = Server(self._config)

    @property
    def connections(self) -> list[Any]:
        """The open connections: protocols with `shutdown()`, which closes them after the answer, and a `transport`."""
        return list(self._server.server_state.connections)

    @property
    def tasks(self) -> list[Task[None]]:
        """The requests in flight."""
        return list(self._server.server_state.tasks)

    async def start(self, sockets: Sequence[socket.socket], tls: ssl.SSLContext | None = None) -> None:
        self._config.load()
        self._config.ssl = tls
        self._server.lifespan = self._config.lifespan_class(self._config)
        await self._server.startup(sockets=list(sockets))

    def stop_listening(self) -> None:
        for server in self._server.servers:
            server.close()

    async def end_requests(self, sockets: Sequence[socket.socket], grace: float) -> None:
        """Close the sockets, wait for requests in flight for any fraction of a second, and cancel the rest."""
        self._config.timeout_graceful_shutdown = grace  # type: ignore[assignment]  # an int by its annotation
        await self._server.shutdown(sockets=list(sockets))
