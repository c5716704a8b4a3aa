"""Whether a process answers on its ports: asked again and again, over one connection a port."""

from __future__ import annotations

import contextlib
import http.client

from mesh.sockets import LocalConnection, connect
from mesh.topology.model import Address, Kind


class Readiness:
    """path: of a GET that must not fail; None where an open port is enough."""

    def __init__(self, kind: Kind, address: Address, path: str | None) -> None:
        self.name = f"{kind} port {address.port}"
        self._address = address
        self._path = path
        self._answered = False
        self._connection: LocalConnection | None = None

    def answers(self) -> bool:
        """True once the port has answered; it is not asked again then."""
        if not self._answered:
            self._answered = self._is_open() if self._path is None else self._is_healthy(self._path)
        if self._answered:
            self.close()
        return self._answered

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _is_open(self) -> bool:
        with contextlib.suppress(OSError):
            connect(self._address.host, self._address.port, 1).close()
            return True
        return False

    def _is_healthy(self, path: str) -> bool:
        if self._connection is None:
            self._connection = LocalConnection(self._address.host, self._address.port, 1)
        try:
            self._connection.request("GET", path)
            # A response whose connection is to end owns the socket, and closing the connection does not close it.
            with self._connection.getresponse() as response:
                response.read()
                return response.status < 400
        except (OSError, http.client.HTTPException):
            self.close()
            return False
