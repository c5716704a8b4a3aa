"""Binds ports: all of a topology or none, and those of one new instance."""

from __future__ import annotations

import errno
import socket
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from typing import Protocol

from mesh.errors import MeshError
from mesh.runtime.instances.port_owner import PortOwner, is_outgoing, port_owner
from mesh.topology.model import Address, Kind, Service, Topology
from mesh.topology.selection import moved_ports

#: Seconds for which the system keeps a closed connection (Linux: TIME_WAIT), and seconds between two attempts.
CLOSED_FOR, ATTEMPT_EVERY = 60.0, 0.25

#: The way to take a port out of that range, on systems where single ports can be reserved.
RESERVE = "; add it to net.ipv4.ip_local_reserved_ports" if sys.platform == "linux" else ""


class PortError(MeshError):
    """Raised if a port is not available; the text names service, port, owner and the way out.

    owner: None if not known. passes: the port becomes free without help, within CLOSED_FOR seconds.
    """

    def __init__(self, text: str, owner: PortOwner | None = None) -> None:
        super().__init__(text)
        self.owner = owner
        self.passes = owner is not None and owner.has_ended


class Bindable(Protocol):
    """An instance, as far as its ports are concerned."""

    def bind(self, kind: Kind, address: Address) -> None: ...

    def release(self) -> None: ...


class Patience:
    """Waits for ports that become free without help, at most `seconds` for all of them together.

    notify: takes a sentence, once for each port.
    """

    def __init__(self, notify: Callable[[str], None], seconds: float = CLOSED_FOR) -> None:
        self._notify = notify
        self._seconds = seconds
        self._until: float | None = None
        self._told: set[str] = set()

    def retries(self, refused: PortError) -> bool:
        """Wait briefly if the port may become free; return False if another attempt is pointless."""
        now = time.monotonic()
        self._until = self._until or now + self._seconds
        if not refused.passes or now >= self._until:
            return False
        if str(refused) not in self._told:
            self._told.add(str(refused))
            self._notify(f"{refused}; waiting for it")
        time.sleep(ATTEMPT_EVERY)
        return True


def bind_all(
    topology: Topology, instances: Mapping[str, Bindable], host: str, patience: Patience | None = None
) -> None:
    """Bind every listener of the topology in this thread; raises PortError, with none left bound, if one is taken."""
    try:
        wanted = {port for service in topology for listener in service.listeners for port in listener.ports}
        with _kept_free(moved_ports(topology) - wanted, host):
            for service in topology:
                bind_instance(instances[service.name], service, host, patience=patience)
    except MeshError:
        for instance in instances.values():
            instance.release()
        raise


@contextmanager
def _kept_free(ports: Iterable[int], host: str) -> Iterator[None]:
    """Keep the system from giving these ports to listeners that request any free one."""
    with ExitStack() as stack:
        for port in ports:
            kept = stack.enter_context(socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET))
            with suppress(OSError):  # another program has it: it is not free
                kept.bind((host, port))
        yield


def bind_instance(
    instance: Bindable,
    service: Service,
    host: str,
    had: Mapping[Kind, tuple[Address, ...]] | None = None,
    patience: Patience | None = None,
) -> None:
    """Bind the listeners of one service; had: the addresses of an earlier instance, whose ports are reused."""
    for listener in service.listeners:
        ports = [address.port for address in (had or {}).get(listener.kind, ())] or listener.ports
        for port in ports:
            while refused := _bind(instance, service.name, listener.kind, Address(host, port)):
                if patience is None or not patience.retries(refused):
                    instance.release()
                    raise refused


def bind_undeclared(bind: Callable[[Address], Address], service: str, kind: Kind, address: Address) -> Address:
    """Bind a port that a program opens and nothing declares; raises PortError if it is not available."""
    try:
        return bind(address)
    except OSError as error:
        way_out = f"declare it ({kind} = {address.port} in services.{service}), so that it can be moved"
        raise _refusal(f"{kind} port {address.port}", address, error, way_out) from error


def _bind(instance: Bindable, service: str, kind: Kind, address: Address) -> PortError | None:
    try:
        instance.bind(kind, address)
    except OSError as error:
        refused = _refusal(f"{service}: {kind} port {address.port}", address, error)
        refused.__cause__ = error
        return refused
    return None


def _refusal(
    where: str, address: Address, error: OSError, way_out: str = "run with --port-base or --free-ports"
) -> PortError:
    if error.errno == errno.EACCES:
        return PortError(f"{where} needs rights this user lacks; declare a port from 1024 up, or run with --free-ports")
    if error.errno != errno.EADDRINUSE:
        return PortError(f"{where} cannot be bound on {address.host}: {error.strerror or error}")
    owner = port_owner(address.port)
    held = f"{where} is held by {owner or 'another program'}"
    if owner is not None and not owner.listens and is_outgoing(address.port):
        held += f" ({address.port} lies in the range of outgoing connections{RESERVE})"
    if owner is not None and owner.has_ended:
        return PortError(held, owner)
    return PortError(f"{held}; stop it, or {way_out}", owner)
