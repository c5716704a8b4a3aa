"""The ports of the services of this mesh, and the directory made from them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from mesh.hosting.clients.host_names import HostNames
from mesh.runtime.contracts import Contracts
from mesh.service import ServiceContext
from mesh.topology.directory import Directory
from mesh.topology.model import Address, Kind
from mesh.topology.selection import Selection

if TYPE_CHECKING:
    from mesh.calling.local_tls import Certificate

ServiceAddresses = Mapping[Kind, tuple[Address, ...]]

#: The host at which listeners on all addresses are reached from this machine.
_REACHED = {"0.0.0.0": "127.0.0.1", "::": "::1"}


class Addresses:
    """The addresses of every bound listener, and the directory made from them.

    directory: complete once every port is bound. names: host names that lead to the listeners, set by `publish`.
    """

    def __init__(self, host: str, names: HostNames) -> None:
        self.directory = Directory()
        self.reached_host = _REACHED.get(host, host)
        self._names = names
        self._bound: dict[str, ServiceAddresses] = {}
        #: By service and kind, of the listeners that speak TLS.
        self._certificates: dict[tuple[str, Kind], Certificate] = {}

    def record(self, name: str, bound: ServiceAddresses) -> bool:
        """Record the addresses that a service has bound; return True if they have changed."""
        before, self._bound[name] = self._bound.get(name), bound
        return before != bound

    def encrypt(self, name: str, kinds: frozenset[Kind]) -> bool:
        """Record which listeners of a service speak TLS; return True if that, or a certificate, has changed."""
        before = {key: each for key, each in self._certificates.items() if key[0] == name}
        found = {}
        for kind in kinds:
            from mesh.calling.local_tls import certificate_at  # few services have it

            if (certificate := certificate_at(self._bound[name][kind][0])) is not None:
                found[name, kind] = certificate
        for key in before:
            del self._certificates[key]
        self._certificates |= found
        return found != before

    def encrypted(self, name: str) -> frozenset[Kind]:
        """Return which listeners of a service speak TLS."""
        return frozenset(kind for service, kind in self._certificates if service == name)

    def forget(self, name: str) -> None:
        """Drop a service's addresses: its next instance binds the declared ones."""
        self._bound.pop(name, None)

    def of(self, name: str) -> ServiceAddresses:
        """Return a service's addresses; empty if it was never bound."""
        return self._bound.get(name, {})

    def ports(self) -> frozenset[int]:
        """Return every port that was bound."""
        return frozenset(
            address.port for bound in self._bound.values() for found in bound.values() for address in found
        )

    def publish(self, selection: Selection, contracts: Contracts, services: Iterable[ServiceContext]) -> None:
        """Rebuild the directory, and give it to every running service."""
        running = {(name, kind): found for name, bound in self._bound.items() for kind, found in bound.items()}
        self.directory = Directory.of(
            selection.declared, running, contracts.descriptors(), contracts.known, dict(self._certificates)
        )
        owners = {address: service for (service, _), address in self.directory.addresses.items()}
        owners |= {
            address: name for name, bound in self._bound.items() for found in bound.values() for address in found
        }
        declared = selection.declared
        self._names.point(self.directory.names(declared), owners, Directory.externals(declared))
        for service in services:
            service.directory = self.directory
