"""Addresses of listeners: where they run here, or else as the environment or the declaration says."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from msgspec import Struct, field

from mesh.errors import UsageError
from mesh.suggestions import no_such
from mesh.topology.model import LOOPBACK, Address, Grpc, Http, Kind, Tcp, Topology

KINDS: tuple[Kind, ...] = ("http", "grpc", "tcp")


class Directory(Struct, frozen=True):
    """The facts that a caller needs about the services it may call.

    addresses: of each listener, by service and kind. further: those of its other ports. services: full names of the
    protobuf services behind each service's gRPC listener, where they are declared. descriptors: files with a serialized
    FileDescriptorSet in which those are described, by service. contracts: of services that run here, as their servicers
    report them. certificates: of the listeners here that speak TLS.
    """

    addresses: Mapping[tuple[str, Kind], Address] = field(default_factory=dict)
    further: Mapping[tuple[str, Kind], tuple[Address, ...]] = field(default_factory=dict)
    services: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    descriptors: Mapping[str, tuple[Path, ...]] = field(default_factory=dict)
    contracts: dict[str, Any] = field(default_factory=dict)
    certificates: Mapping[tuple[str, Kind], Any] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        declared: Topology,
        running: Mapping[tuple[str, Kind], tuple[Address, ...]],
        compiled: Mapping[str, tuple[Path, ...]] | None = None,
        contracts: dict[str, Any] | None = None,
        certificates: Mapping[tuple[str, Kind], Any] | None = None,
    ) -> Directory:
        """Return the directory of a topology of which `running` runs here; the rest is expected on loopback."""
        known: dict[tuple[str, Kind], tuple[Address, ...]] = {}
        for service in declared:
            for listener in service.listeners:
                elsewhere = address_from_environment(service.name, listener.kind)
                here = tuple(Address("127.0.0.1", port) for port in listener.ports)
                known[service.name, listener.kind] = here if elsewhere is None else (elsewhere,)
        known |= running
        services = {service.name: service.grpc.services for service in declared if service.grpc}
        descriptors = {
            service.name: ((compiled or {}).get(service.name, ()) + declared.descriptors) for service in declared
        }
        return cls(
            {key: each[0] for key, each in known.items()},
            {key: each[1:] for key, each in known.items()},
            services,
            descriptors,
            {} if contracts is None else contracts,
            certificates or {},
        )

    def names(self, declared: Topology) -> dict[tuple[str, int], Address]:
        """Return the host names and ports under which code may address each listener.

        These are the service's name, as under Compose, and those of this machine, each with the declared port.
        """
        known: dict[tuple[str, int], Address] = {}
        for service in declared:
            for listener in service.listeners:
                found = self.all_of(service.name, listener.kind)
                for at, port in enumerate(listener.ports):
                    to = found[at] if at < len(found) else found[0]
                    known |= {(host, port): to for host in (service.name, LOOPBACK) if port}
                for alias, at in alias_targets(listener):
                    known[alias.host, alias.port] = found[at] if at < len(found) else found[0]
        return known

    def all_of(self, service: str, kind: Kind) -> tuple[Address, ...]:
        """Return the addresses of each port of a listener."""
        return self.address(service, kind), *self.further.get((service, kind), ())

    @staticmethod
    def externals(declared: Topology) -> dict[tuple[str, int], Address]:
        """Return where what mesh does not run is, by host name and port; port 0 stands for any."""
        parts = ((*name.partition(":"), address) for name, address in declared.externals.items())
        return {(host, int(port or 0)): address for host, _, port, address in parts}

    def reachable(self, declared: Topology) -> dict[tuple[str, int], Address]:
        """Return the names of the listeners, and those of what mesh does not run, for programs in other processes."""
        return {**self.externals(declared), **self.names(declared)}

    def described(self, *services: str) -> bytes:
        """Return one serialized FileDescriptorSet that describes these services; empty if none is described."""
        files = dict.fromkeys(path for service in services for path in self.descriptors.get(service, ()))
        # Concatenated serialized messages are one message with the fields of all.
        return b"".join(path.read_bytes() for path in files)

    def address(self, service: str, kind: Kind) -> Address:
        """Return the listener's address; raises UsageError if neither the topology nor the environment has one."""
        found = self.addresses.get((service, kind)) or address_from_environment(service, kind)
        if found is None:
            self.require(service)
            raise UsageError(
                f"{service}.{kind} is not a listener of this topology; declare it, or set {variable_of(service, kind)}"
            )
        return found

    def origin(self, service: str) -> str:
        """Return the URL of the service's HTTP listener, without a path; raises UsageError as `address` does."""
        scheme = "https" if (service, "http") in self.certificates else "http"
        return f"{scheme}://{self.address(service, 'http')}"

    def require(self, service: str) -> None:
        """Raise UsageError, suggesting the nearest name, if neither topology nor environment knows the service."""
        known = {name for name, _ in self.addresses} | self.services.keys() | self.contracts.keys()
        if service not in known and not any(variable_of(service, kind) in os.environ for kind in KINDS):
            raise UsageError(no_such("service", service, sorted(known)))

    def has(self, service: str, kind: Kind) -> bool:
        return (service, kind) in self.addresses or variable_of(service, kind) in os.environ


def alias_targets(listener: Http | Grpc | Tcp) -> Iterator[tuple[Address, int]]:
    """Yield each alias with the index of the port that it leads to.

    The aliases of one host are in the order of the ports, one or more rounds of them. Where they are not as many, each
    leads to the port with its number, or else to the first.
    """
    parsed = [Address.parse(alias) for alias in listener.aliases]
    for host in dict.fromkeys(alias.host for alias in parsed):
        found = [alias for alias in parsed if alias.host == host]
        in_order = len(found) % len(listener.ports) == 0
        for at, alias in enumerate(found):
            same = listener.ports.index(alias.port) if alias.port in listener.ports else 0
            yield alias, at % len(listener.ports) if in_order else same


def variable_of(service: str, kind: Kind) -> str:
    """Return the environment variable with the address of a service that does not run here."""
    return f"MESH_{service.upper().replace('-', '_')}_{kind.upper()}"


def address_from_environment(service: str, kind: Kind) -> Address | None:
    """Return the address in the environment, if any; raises UsageError if it is not of the form host:port."""
    variable = variable_of(service, kind)
    if not (text := os.environ.get(variable)):
        return None
    try:
        return Address.parse(text)
    except ValueError as error:
        raise UsageError(f"{variable}: {error}") from None
