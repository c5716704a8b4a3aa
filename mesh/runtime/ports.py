"""Binding ports: those of a whole topology all or nothing, those of one unit anew."""

from __future__ import annotations

import errno
from collections.abc import Mapping
from typing import Protocol

from mesh.errors import MeshError
from mesh.runtime.holders import holder_of
from mesh.topology.model import Address, Kind, Service, Topology


class PortError(MeshError):
    """A port that cannot be had; the text names service, port, holder and the way out."""


class Binds(Protocol):
    """A unit, as far as its ports are concerned."""

    def bind(self, kind: Kind, address: Address) -> None: ...

    def release(self) -> None: ...


def bind_all(topology: Topology, units: Mapping[str, Binds], host: str) -> None:
    """Binds every listener of the topology in this thread; PortError, with nothing left bound, where one is taken."""
    try:
        for service in topology:
            bind_unit(units[service.name], service, host)
    except MeshError:
        for unit in units.values():
            unit.release()
        raise


def bind_unit(unit: Binds, service: Service, host: str, had: Mapping[Kind, tuple[Address, ...]] | None = None) -> None:
    """Binds the listeners of one service; had: the addresses of an earlier unit, whose ports are to be kept."""
    for listener in service.listeners:
        ports = [address.port for address in (had or {}).get(listener.kind, ())] or listener.ports
        for port in ports:
            try:
                unit.bind(listener.kind, Address(host, port))
            except OSError as error:
                raise PortError(_sentence(service.name, listener.kind, Address(host, port), error)) from error


def _sentence(service: str, kind: Kind, address: Address, error: OSError) -> str:
    where = f"{service}: {kind} port {address.port}"
    if error.errno == errno.EACCES:
        return f"{where} needs rights this user lacks; declare a port from 1024 up, or run with --free-ports"
    if error.errno != errno.EADDRINUSE:
        return f"{where} cannot be bound on {address.host}: {error.strerror or error}"
    holder = holder_of(address.port)
    hint = ""
    if holder is not None and not holder.listens:
        hint = f" ({address.port} lies in the range the system gives outgoing connections)"
    return f"{where} is held by {holder or 'another program'}{hint}; stop it, or run with --port-base or --free-ports"
