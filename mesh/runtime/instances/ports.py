"""Binding ports: those of a whole topology all or nothing, those of one instance anew."""

from __future__ import annotations

import errno
from collections.abc import Mapping
from typing import Protocol

from mesh.errors import MeshError
from mesh.runtime.instances.port_owner import port_owner
from mesh.topology.model import Address, Kind, Service, Topology


class PortError(MeshError):
    """A port that cannot be had; the text names service, port, holder and the way out."""


class Bindable(Protocol):
    """An instance, as far as its ports are concerned."""

    def bind(self, kind: Kind, address: Address) -> None: ...

    def release(self) -> None: ...


def bind_all(topology: Topology, instances: Mapping[str, Bindable], host: str) -> None:
    """Binds every listener of the topology in this thread; PortError, with nothing left bound, where one is taken."""
    try:
        for service in topology:
            bind_instance(instances[service.name], service, host)
    except MeshError:
        for instance in instances.values():
            instance.release()
        raise


def bind_instance(
    instance: Bindable, service: Service, host: str, had: Mapping[Kind, tuple[Address, ...]] | None = None
) -> None:
    """Binds the listeners of one service; had: the addresses of an earlier instance, whose ports are to be kept."""
    for listener in service.listeners:
        ports = [address.port for address in (had or {}).get(listener.kind, ())] or listener.ports
        for port in ports:
            try:
                instance.bind(listener.kind, Address(host, port))
            except OSError as error:
                raise PortError(_sentence(service.name, listener.kind, Address(host, port), error)) from error


def _sentence(service: str, kind: Kind, address: Address, error: OSError) -> str:
    where = f"{service}: {kind} port {address.port}"
    if error.errno == errno.EACCES:
        return f"{where} needs rights this user lacks; declare a port from 1024 up, or run with --free-ports"
    if error.errno != errno.EADDRINUSE:
        return f"{where} cannot be bound on {address.host}: {error.strerror or error}"
    holder = port_owner(address.port)
    hint = ""
    if holder is not None and not holder.listens:
        hint = f" ({address.port} lies in the range the system gives outgoing connections)"
    return f"{where} is held by {holder or 'another program'}{hint}; stop it, or run with --port-base or --free-ports"
