"""An HTTP server on already bound sockets: uvicorn's phases, without its process-wide parts."""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from collections.abc import Callable, Sequence

from starlette.types import ASGIApp

from mesh.compat.uvicorn import PhasedServer
from mesh.serving.http.admission import Admission
from mesh.serving.http.protocol import GuardedProtocol
from mesh.topology.model import Limits

#: Connections that may wait to be accepted, as with uvicorn.
BACKLOG = 2048
#: Seconds for a cancelled request to tell its caller.
CUT_WITHIN = 0.5
#: Seconds for the client of an idle connection to answer to the end of TLS; some do when they use it next.
TLS_ENDS_WITHIN = 0.1


class HttpServer:
    """Serves one ASGI application on every given socket; started and stopped in the loop it runs in.

    The server runs no lifespan: an application's belongs to its generation, not to the sockets. notify: see Admission.
    tls: of every socket; without it, the server speaks plain HTTP.
    """

    def __init__(
        self,
        sockets: Sequence[socket.socket],
        app: ASGIApp,
        notify: Callable[[str], None] = lambda text: None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._admission = Admission(notify)

        class Admitted(GuardedProtocol):
            admission = self._admission

        self._sockets = list(sockets)
        self._tls = tls
        self._protocol = Admitted
        self._server = PhasedServer(app, Admitted)

    async def start(self) -> None:
        """Start; raises OSError if a port is taken after all."""
        logging.getLogger("uvicorn.error").disabled = True  # the layers already report it, with the service's name
        for bound in self._sockets:
            # uvloop does not tell if another program that has bound the port at the same moment listens already.
            bound.listen(BACKLOG)
        self._admission.open(self._connections)
        await self._server.start(self._sockets, self._tls)

    def limit(self, limits: Limits) -> None:
        """Accept within these limits from now on."""
        self._protocol.limits = limits

    async def stop(self, grace: float) -> None:
        """Stop listening, let requests in flight end for `grace` seconds, and cancel the rest."""
        self._server.stop_listening()
        self._admission.close()
        ending = self._end_idle()
        await self._end(grace)
        if ending:
            # They may have left the server's connections, but not yet the loop.
            await asyncio.sleep(TLS_ENDS_WITHIN)
            for transport in ending:
                transport.abort()

    async def _end(self, grace: float) -> None:
        if self._server.tasks:
            await self._server.end_requests(self._sockets, grace)
            # Cancelled ones still tell their callers.
            if tasks := self._server.tasks:
                _, left = await asyncio.wait(tasks, timeout=CUT_WITHIN)
                if left:
                    self._abort_connections()
            return
        # Nothing is in flight, but uvicorn's shutdown would still sleep 100 ms.
        for connection in self._server.connections:
            connection.shutdown()
        for bound in self._sockets:
            bound.close()
        await asyncio.sleep(0)

    def _end_idle(self) -> list[asyncio.Transport]:
        """End the idle connections over TLS, and return them: their clients may take long to answer.

        Otherwise requests in flight would seem to go on until then.
        """
        if self._tls is None:
            return []
        loop = asyncio.get_running_loop()
        idle = [each for each in self._connections() if each.is_idle()]
        for connection in idle:
            connection.close_idle()
            loop.call_later(TLS_ENDS_WITHIN, connection.transport.abort)
        return [each.transport for each in idle]

    def _connections(self) -> list[GuardedProtocol]:
        """Return the connections that have not become WebSockets."""
        return [each for each in self._server.connections if isinstance(each, GuardedProtocol)]

    def _abort_connections(self) -> None:
        """Close the connections of requests that continue after being cancelled: their clients must not wait."""
        for connection in self._server.connections:
            connection.transport.abort()
