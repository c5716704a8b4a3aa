"""Ports that a program binds beside its listeners, for metrics, say: after an edit, two programs have them a while."""

from __future__ import annotations

import socket
from typing import Any
from weakref import WeakKeyDictionary

from mesh.hosting.mains.private_sockets import ProgramSocket, bind_unchanged, ends_with

#: By the sockets bound here, the name of the service and the port.
_bound: WeakKeyDictionary[socket.socket, tuple[str, int]] = WeakKeyDictionary()


class SharedSocket(ProgramSocket):
    """A socket on such a port."""

    __slots__ = ()


def bind_beside(bound: socket.socket, main: Any, address: tuple[Any, ...]) -> None:
    """Bind the socket of a program, where the program before the edit has the same port as well.

    Raises OSError if anybody else has it.
    """
    port = address[1]
    if (main.name, port) not in list(_bound.values()):
        # The system lets every socket have the port that asks to share it: another mesh's as well.
        _check_free(bound, address)
        main.binds_itself(port)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    bind_unchanged(bound, address)
    _bound[bound] = main.name, port
    bound.__class__ = SharedSocket
    ends_with(main, bound)


def _check_free(bound: socket.socket, address: tuple[Any, ...]) -> None:
    with socket.socket(bound.family, bound.type, bound.proto) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if bound.family == socket.AF_INET6:
            only = bound.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY)
            probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, only)
        bind_unchanged(probe, address)
        probe.listen()
