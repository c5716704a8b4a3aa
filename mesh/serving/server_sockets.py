"""Binds server sockets before a server serves on them."""

from __future__ import annotations

import os
import socket

from mesh.topology.model import Address

# The original: a program that binds a port of its service itself is refused (mesh/hosting/mains).
_bind = socket.socket.bind


def bind(address: Address) -> socket.socket:
    """Return a bound socket that does not listen yet; raises OSError if the address is taken or unavailable."""
    bound = _socket(address)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        _bind(bound, (address.host, address.port))
        bound.setblocking(False)
    except OSError:
        bound.close()
        raise
    return bound


def listen(address: Address) -> socket.socket:
    """Return a bound socket that listens; raises OSError as `bind` does.

    Two programs may bind one port at the same moment: only the first that listens has it.
    """
    bound = bind(address)
    try:
        bound.listen()
    except OSError:
        bound.close()
        raise
    return bound


def adopt(address: Address, descriptor: int) -> socket.socket:
    """Return a socket for the address that another process has bound and still holds; the descriptor stays open."""
    bound = _socket(address, os.dup(descriptor))
    bound.setblocking(False)
    return bound


def _socket(address: Address, descriptor: int | None = None) -> socket.socket:
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    # With protocol 0, asyncio does not set TCP_NODELAY, and each request on a kept connection takes 44 ms.
    return socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP, descriptor)
