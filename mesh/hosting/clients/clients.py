"""The recorded clients, each patched when it is imported."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType

from mesh.hosting.arrivals import Arrivals
from mesh.hosting.clients.aiohttp_sessions import record_aiohttp
from mesh.hosting.clients.destinations import Destinations
from mesh.hosting.clients.grpc_channels import record_grpc
from mesh.hosting.clients.httpx_transports import record_httpx
from mesh.hosting.clients.standard_library import record_http_client
from mesh.hosting.host_names import HostNames
from mesh.hosting.patches import Patch, Patches
from mesh.service import ServiceContext

_RECORDERS: dict[str, Callable[[ModuleType, Patches, Destinations], None]] = {
    "http.client": record_http_client,
    "httpx": record_httpx,
    "aiohttp": record_aiohttp,
    "grpc": record_grpc,
}


class Clients(Patch):
    """Makes services' own clients send the trace of the current call, and records each of their calls."""

    def __init__(self, arrivals: Arrivals, names: HostNames) -> None:
        super().__init__()
        self._arrivals = arrivals
        self._destinations = Destinations(names)

    def add_service(self, service: ServiceContext) -> None:
        self._destinations.journal = service.journal

    def install(self) -> None:
        for name, record in _RECORDERS.items():
            self._arrivals.when(name, lambda module, record=record: record(module, self.patches, self._destinations))  # type: ignore[misc]
