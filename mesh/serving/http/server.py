"""An HTTP server on already bound sockets: uvicorn's phases, without its process-wide parts."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable, Sequence

from starlette.types import ASGIApp
from uvicorn import Config, Server

from mesh.serving.http.admission import Admission
from mesh.serving.http.protocol import GuardedProtocol

#: Seconds for a cancelled request to tell its caller.
CUT_WITHIN = 0.5


class HttpServer:
    """Serves one ASGI application on every given socket; started and stopped in the loop it runs in.

    The server runs no lifespan: an application's belongs to its generation, not to the sockets. notify: see Admission.
    """

    def __init__(
        self, sockets: Sequence[socket.socket], app: ASGIApp, notify: Callable[[str], None] = lambda text: None
    ) -> None:
        class Admitted(GuardedProtocol):
            admission = Admission(notify)

        self._sockets = list(sockets)
        self._config = Config(
            app=app,
            http=Admitted,
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            date_header=False,
        )
        self._server = Server(self._config)

    async def start(self) -> None:
        logging.getLogger("uvicorn.error").disabled = True  # the layers already report it, with the service's name
        self._config.load()
        self._server.lifespan = self._config.lifespan_class(self._config)
        # Only the phase, not serve(): its main loop would wake ten times a second in every service.
        await self._server.startup(sockets=self._sockets)

    async def stop(self, grace: float) -> None:
        """Stop listening, let requests in flight end for `grace` seconds, and cancel the rest."""
        self._config.timeout_graceful_shutdown = grace  # type: ignore[assignment]  # waits for any fraction of a second
        for server in self._server.servers:
            server.close()
        if self._server.server_state.tasks:
            await self._server.shutdown(sockets=self._sockets)
            # Cancelled ones still tell their callers.
            if tasks := list(self._server.server_state.tasks):
                _, left = await asyncio.wait(tasks, timeout=CUT_WITHIN)
                if left:
                    self._abort_connections()
            return
        # Nothing is in flight, but uvicorn's shutdown would still sleep 100 ms.
        for connection in list(self._server.server_state.connections):
            connection.shutdown()
        for bound in self._sockets:
            bound.close()
        await asyncio.sleep(0)

    def _abort_connections(self) -> None:
        """Close the connections of requests that continue after being cancelled: their clients must not wait."""
        for connection in list(self._server.server_state.connections):
            connection.transport.abort()
