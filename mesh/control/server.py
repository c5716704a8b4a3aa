"""The control API's own listener and thread: it answers while every service is busy."""

from __future__ import annotations

import asyncio
import os
import secrets
import threading

from mesh.control.api import control_app
from mesh.control.page import page_token
from mesh.control.state import Running, parts_of
from mesh.observing.recorder import Recorder
from mesh.runtime.supervisor import Supervisor
from mesh.serving.http.server import HttpServer
from mesh.serving.server_sockets import listen
from mesh.topology.model import Address

#: The control port of the first mesh on a machine; further ones take any free port.
CONTROL_PORT = 4999


class ControlServer:
    """Binds at construction, always on loopback; `running` is the record for other commands."""

    def __init__(self, supervisor: Supervisor, recorder: Recorder | None = None) -> None:
        # From now on requests wait for a response: if they were refused, a client would take this mesh for gone.
        try:
            self._socket = listen(Address("127.0.0.1", CONTROL_PORT))
        except OSError:
            self._socket = listen(Address("127.0.0.1", 0))
        port = self._socket.getsockname()[1]
        supervisor.keep_from_children(port)
        token = secrets.token_urlsafe(32)
        self.running = Running(os.getpid(), f"http://127.0.0.1:{port}", token, parts_of(supervisor.topology))
        #: Where a browser is shown what runs.
        self.link = f"{self.running.url}/?token={page_token(token)}"
        hosts = frozenset({f"127.0.0.1:{port}", f"localhost:{port}"})
        self._server = HttpServer([self._socket], control_app(supervisor, recorder, token, hosts))
        self._serving = threading.Event()

    def start(self) -> None:
        """Start the server; return once it answers."""
        threading.Thread(target=lambda: asyncio.run(self._serve()), name="control", daemon=True).start()
        self._serving.wait()

    def close(self) -> None:
        self._socket.close()

    async def _serve(self) -> None:
        await self._server.start()
        self._serving.set()
        await asyncio.Event().wait()
