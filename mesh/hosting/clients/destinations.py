"""The destinations of services' own clients, and the start of their records."""

from __future__ import annotations

from mesh.hosting.clients.host_names import HostNames
from mesh.observing.journal import Journal
from mesh.observing.outgoing import Outgoing, outgoing
from mesh.service import current_service_var
from mesh.topology.model import Kind


class Destinations:
    """names: lead the hosts and ports in services' code to the actual listeners.

    journal: that of the services whose calls are recorded; a process may run several meshes, each with one, and each
        has patched the clients.
    """

    def __init__(self, names: HostNames) -> None:
        self._names = names
        self.journal: Journal | None = None

    def is_recorded(self) -> bool:
        """Return True in the code of a service whose calls are recorded."""
        service = current_service_var.get()
        return service is not None and service.journal is self.journal and service.journal.is_recording

    def begin(
        self, protocol: Kind, method: str, target: str, host: str, port: int, given: str | None
    ) -> Outgoing | None:
        """Begin the record of a call to this host and port; see `outgoing`."""
        if not self.is_recorded():
            return None
        actual, peer = self._names.led_to(host, port)
        return outgoing(protocol, method, target, f"{host}:{port}", actual, peer, given)

    def split(self, target: str) -> tuple[str, int]:
        """Return host and port of a gRPC target; port 0 if it has none."""
        host, _, port = target.rpartition("/")[2].rpartition(":")
        return (host.strip("[]"), int(port)) if port.isdecimal() else (target, 0)
