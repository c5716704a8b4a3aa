"""Checks whether a process answers on its ports: repeatedly, over one connection per port."""

from __future__ import annotations

import contextlib
import http.client

from mesh.sockets import LocalConnection, connect
from mesh.topology.model import Address, Kind

#: Where a program that was given a port listens: some read `localhost` as `::1` only.
_LOOPBACK = ("127.0.0.1", "::1")


class Readiness:
    """path: of a GET that must succeed; None if an open port is enough."""

    def __init__(self, kind: Kind, address: Address, path: str | None) -> None:
        self.name = f"{kind} port {address.port}"
        self._hosts = _LOOPBACK if address.host in _LOOPBACK else (address.host,)
        self._port = address.port
        self._path = path
        self._answered = False
        self._connection: LocalConnection | None = None

    def answers(self) -> bool:
        """Return True once the port has answered; it is not checked again."""
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
        for host in self._hosts:
            with contextlib.suppress(OSError):
                connect(host, self._port, 1).close()
                return True
        return False

    def _is_healthy(self, path: str) -> bool:
        return any(self._answers_at(host, path) for host in self._hosts)

    def _answers_at(self, host: str, path: str) -> bool:
        if self._connection is None:
            self._connection = LocalConnection(host, self._port, 1)
        try:
            self._connection.request("GET", path)
            # A response whose connection is about to end owns the socket; closing the connection does not close it.
            with self._connection.getresponse() as response:
                response.read()
                return response.status < 400
        except (OSError, http.client.HTTPException):
            self.close()
            return False
