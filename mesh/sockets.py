"""Client sockets whose ports are free for listeners as soon as they are closed, and that never reach themselves.

Ports such as 50051 lie in the range that Linux gives to outgoing connections. The system keeps a connection for a
minute after its end (TIME_WAIT), during which its port cannot be bound, unless such a socket made the connection.
Where nothing listens on a port of that range, the system may also give that very port to the client, and connects it
to itself: once in about 40,000 attempts on Linux 6.
"""

from __future__ import annotations

import errno
import http.client
import socket
import ssl
from typing import Any


def client_socket(family: int, kind: int = socket.SOCK_STREAM, protocol: int = socket.IPPROTO_TCP) -> socket.socket:
    made = socket.socket(family, kind, protocol)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    return made


def socket_of(address: tuple[Any, ...]) -> socket.socket:
    """Return a client socket for a result of `getaddrinfo`; the signature is that of aiohttp's socket_factory."""
    family, kind, protocol = address[:3]
    return client_socket(family, kind, protocol)


def connect(host: str, port: int, timeout: float) -> socket.socket:
    """Return a socket connected to an IP address. Raises OSError. timeout: seconds, also for what follows."""
    connected = client_socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    try:
        connected.settimeout(timeout)
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connected.connect((host, port))
        if connected.getsockname()[:2] == (host, port):
            raise ConnectionRefusedError(errno.ECONNREFUSED, f"nothing listens on port {port}")
    except OSError:
        connected.close()
        raise
    return connected


class LocalConnection(http.client.HTTPConnection):
    """An HTTP connection to an IP address of this machine. tls: over TLS, whoever signed the certificate."""

    def __init__(self, host: str, port: int, seconds: float, tls: bool = False) -> None:
        super().__init__(host, port, timeout=seconds)
        self._seconds = seconds
        self._tls = tls

    def connect(self) -> None:
        self.sock = connect(self.host, self.port, self._seconds)
        if self._tls:
            self.sock = unverified().wrap_socket(self.sock)


def unverified() -> ssl.SSLContext:
    """Return a context for listeners of this machine: nobody else can answer at their addresses."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context
