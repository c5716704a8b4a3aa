"""Signs that a service is ready: a port or path that answers, asked over one connection, or a line that it prints."""

from __future__ import annotations

import contextlib
import http.client
import re
import socket
import threading
from collections.abc import Callable
from contextlib import closing

from mesh.observing.journal import Entry, Journal, Line
from mesh.sockets import LocalConnection, connect
from mesh.topology.model import Address, Kind

#: Where a program that was given a port listens: some read `localhost` as `::1` only.
LOOPBACK = ("127.0.0.1", "::1")

_COLOUR = re.compile(r"\x1b\[[0-9;]*m")

#: Seconds in which a proxy without a process behind it closes a connection.
_WAITS = 0.1


class Readiness:
    """path: of a GET that must succeed; None if an open port is enough.

    at_once: False if a proxy may accept a connection, and close it, before the process is ready, as docker's does.
    """

    def __init__(self, kind: Kind, address: Address, path: str | None, at_once: bool = True) -> None:
        self.name = f"{kind} port {address.port}"
        self._hosts = LOOPBACK if address.host in LOOPBACK else (address.host,)
        self._port = address.port
        self._path = path
        self._at_once = at_once
        #: True if the path is asked for over TLS.
        self.tls = False
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
            with contextlib.suppress(OSError), closing(connect(host, self._port, 1)) as opened:
                return self._at_once or _stays_open(opened)
        return False

    def _is_healthy(self, path: str) -> bool:
        return any(self._answers_at(host, path) for host in self._hosts)

    def _answers_at(self, host: str, path: str) -> bool:
        if self._connection is None:
            self._connection = LocalConnection(host, self._port, 1, self.tls)
        try:
            self._connection.request("GET", path)
            # A response whose connection is about to end owns the socket; closing the connection does not close it.
            with self._connection.getresponse() as response:
                response.read()
                return response.status < 400
        except (OSError, http.client.HTTPException):
            self.close()
            return False


class ReadyLine:
    """A line in which a regular expression is found, whatever its colours."""

    #: As of a path; a line has none.
    tls = False

    def __init__(self, pattern: str) -> None:
        self._pattern = re.compile(pattern)
        self._seen = threading.Event()
        self._unsubscribe: Callable[[], None] | None = None

    def listen(self, service: str, journal: Journal) -> None:
        """Note what the service prints from now on."""

        def look(entry: Entry) -> None:
            if isinstance(entry, Line) and entry.service == service and entry.stream != "mesh":
                self.note(entry.text)

        self._unsubscribe = journal.subscribe(look)

    def note(self, text: str) -> None:
        if self._pattern.search(_COLOUR.sub("", text)):
            self._seen.set()

    def wait(self, seconds: float) -> bool:
        """Return whether the line has been printed, after these seconds at most."""
        return self._seen.wait(seconds)

    def answers(self) -> bool:
        return self._seen.is_set()

    def close(self) -> None:
        if self._unsubscribe is not None:
            self._unsubscribe()


def _stays_open(opened: socket.socket) -> bool:
    """Return True if the other side says something, or waits for something."""
    opened.settimeout(_WAITS)
    try:
        return bool(opened.recv(1))
    except TimeoutError:
        return True
