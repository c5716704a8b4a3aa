"""Sockets of servers that mesh does not know: mesh has the port that they ask for, and forwards to them."""

from __future__ import annotations

import contextlib
import socket
import ssl
import sys
from typing import Any
from weakref import WeakKeyDictionary

from msgspec import Struct
from msgspec.structs import replace

from mesh.hosting.threads import ThreadEnd
from mesh.topology.model import LOOPBACK, Address

#: What a program does that is refused.
WRAPS = "wraps its listening socket in TLS, to which mesh cannot forward"
ASKS = "asks clients for certificates in a server that mesh does not know"


class _Asked(Struct, frozen=True):
    """The request of a program to listen: its `main`, the address to bind to, and the SSLContext if there is one."""

    main: Any
    address: tuple[Any, ...]
    tls: Any = None


_asked: WeakKeyDictionary[socket.socket, _Asked] = WeakKeyDictionary()
#: By the sockets on which programs listen, and the connections that these have accepted, the program's `main`.
_mains: WeakKeyDictionary[socket.socket, Any] = WeakKeyDictionary()


class ProgramSocket(socket.socket):
    """A socket on which a program listens. A thread that still accepts when the program has ended, ends as well."""

    __slots__ = ()

    def accept(self) -> tuple[socket.socket, Any]:
        main = _mains[self]
        try:
            accepted, address = super().accept()
        except OSError:
            if main.thread.is_alive():
                raise
            raise ThreadEnd from None  # a server would try again for ever
        _mains[accepted] = main
        return accepted, address


class PrivateSocket(ProgramSocket):
    """A socket that says it has the address that was asked for, which is the listener's."""

    __slots__ = ()

    def getsockname(self) -> Any:
        return _asked[self].address

    def listen(self, *args: Any) -> None:
        super().listen(*args)
        opened(self)

    def detach(self) -> int:
        # `ssl` takes the descriptor of what it wraps; uvloop does that when it closes one.
        if sys._getframe(1).f_globals.get("__name__") == "ssl":
            raise _asked[self].main.refusal(WRAPS)
        return super().detach()


def bind_privately(bound: socket.socket, main: Any, address: tuple[Any, ...]) -> None:
    """Bind the socket of a program to a free port of the loopback interface, instead of to that of its service."""
    host = "::1" if bound.family == socket.AF_INET6 else LOOPBACK
    bind_unchanged(bound, (host, 0))
    anywhere = "::" if bound.family == socket.AF_INET6 else "0.0.0.0"
    _asked[bound] = _Asked(main, (address[0] or anywhere, *address[1:]))
    bound.__class__ = PrivateSocket
    ends_with(main, bound)


def ends_with(main: Any, listening: socket.socket) -> None:
    """Let a socket on which a program listens, and what it accepts, end with the program."""
    _mains[listening] = main


def private_socket(main: Any, host: str | None, port: int) -> socket.socket:
    """Return a socket for a server of the program that is told a host and a port."""
    made = socket.socket()
    bind_privately(made, main, (host, port))
    return made


def encrypts(bound: socket.socket | None, tls: Any) -> None:
    """Note the SSLContext with which an event loop serves on a socket; nothing for a socket that is not private."""
    if tls and isinstance(bound, PrivateSocket):
        if tls.verify_mode != ssl.CERT_NONE:
            raise _asked[bound].main.refusal(ASKS)
        _asked[bound] = replace(_asked[bound], tls=tls)


def opened(listening: socket.socket | None) -> None:
    """Tell the program that one of its own servers listens; nothing for any other socket."""
    if isinstance(listening, PrivateSocket):
        asked, (host, port, *_) = _asked[listening], socket.socket.getsockname(listening)
        asked.main.own_server_opened(asked.address[1], Address(host, port), asked.tls)


def close_sockets(main: Any) -> None:
    """Close what a program that has ended left open, as the end of a process does."""
    for each in [each for each, owner in _mains.copy().items() if owner is main]:
        # Other threads may be waiting at it.
        with contextlib.suppress(OSError):
            each.shutdown(socket.SHUT_RDWR)
        each.close()


# The original: a program's own call is replaced (servers.py).
bind_unchanged = socket.socket.bind
