"""Finds the owner of a port, for the error message of a failed start."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from mesh.sockets import connect

if TYPE_CHECKING:
    import psutil

#: The states of a connection that its program has closed; the system keeps it for up to a minute.
_ENDED = frozenset({"TIME_WAIT", "FIN_WAIT1", "FIN_WAIT2", "CLOSING", "LAST_ACK"})


class PortOwner(Struct, frozen=True):
    """The holder of a port. program, pid: None if the system does not tell this user.

    listens: False for an outgoing connection that happens to use the port. has_ended: the connection was closed,
    belongs to no process, and goes away without help.
    """

    program: str | None
    pid: int | None
    listens: bool = True
    has_ended: bool = False

    def __str__(self) -> str:
        if self.has_ended:
            return "a closed connection in TIME_WAIT, for up to a minute"
        who = self.program or "a program of another user"
        who = who if self.pid is None else f"{who} (pid {self.pid})"
        return who if self.listens else f"an outgoing connection of {who}"


def port_owner(port: int) -> PortOwner | None:
    """Return what holds this TCP port, as far as this user may see it, or None."""
    found = [_owner(pid, each) for pid, each in _connections() if each.laddr and each.laddr.port == port]
    return min(found, key=lambda owner: (owner.has_ended, not owner.listens), default=None)


def listening_ports(pid: int) -> set[int]:
    """Return the TCP ports on which a process or one of its children listens."""
    import psutil

    ports: set[int] = set()
    with contextlib.suppress(psutil.Error):
        process = psutil.Process(pid)
        for each in (process, *process.children(recursive=True)):
            with contextlib.suppress(psutil.Error):
                found = each.net_connections("tcp")
                ports |= {one.laddr.port for one in found if one.status == psutil.CONN_LISTEN}
    return ports


def is_outgoing(port: int) -> bool:
    """Return True if the port lies in the range that the system uses for outgoing connections."""
    low, high = 49152, 65535  # IANA's; macOS uses it
    with contextlib.suppress(OSError, ValueError), open("/proc/sys/net/ipv4/ip_local_port_range") as told:
        low, high = map(int, told.read().split())
    return low <= port <= high


def answers_for_localhost(port: int) -> bool:
    """Return True if another program has `localhost:port` over IPv6, which many clients try first, as AirPlay does."""
    if not socket.has_ipv6:
        return False
    with contextlib.suppress(OSError):
        connect("::1", port, 0.2).close()
        return True
    return False


def _connections() -> Iterator[tuple[int | None, Any]]:
    """Yield the TCP sockets of the system; macOS shows users only those of their own processes."""
    import psutil

    try:
        yield from ((each.pid, each) for each in psutil.net_connections("tcp"))
    except psutil.AccessDenied:
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                yield from ((process.pid, each) for each in process.net_connections("tcp"))


def _owner(pid: int | None, found: psutil._ntuples.sconn) -> PortOwner:
    import psutil

    program = None
    if pid is not None:
        with contextlib.suppress(psutil.Error):
            program = psutil.Process(pid).name()
    return PortOwner(program, pid, found.status == psutil.CONN_LISTEN, pid is None and found.status in _ENDED)
