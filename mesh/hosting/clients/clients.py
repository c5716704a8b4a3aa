"""The recorded clients, each patched when it is imported."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from types import ModuleType

from mesh.hosting.clients.aiohttp_sessions import record_aiohttp
from mesh.hosting.clients.destinations import Destinations
from mesh.hosting.clients.grpc_channels import record_grpc
from mesh.hosting.clients.host_names import HostNames
from mesh.hosting.clients.httpx_transports import record_httpx
from mesh.hosting.clients.standard_library import record_http_client
from mesh.hosting.import_hooks import ImportHooks
from mesh.hosting.patches import Patch, Patches
from mesh.service import ServiceContext

_Recorder = Callable[[ModuleType, Patches, Destinations], None]
_RECORDERS: dict[str, _Recorder] = {
    "http.client": record_http_client,
    "httpx": record_httpx,
    "aiohttp": record_aiohttp,
    "grpc": record_grpc,
}


class Clients(Patch):
    """Makes services' own clients send the trace of the current call, and records each of their calls."""

    def __init__(self, import_hooks: ImportHooks, names: HostNames) -> None:
        super().__init__()
        self._import_hooks = import_hooks
        self._destinations = Destinations(names)

    def add_service(self, service: ServiceContext) -> None:
        self._destinations.journal = service.journal

    def install(self) -> None:
        for name, record in _RECORDERS.items():
            self._import_hooks.on_import(name, partial(self._record, record))

    def _record(self, record: _Recorder, module: ModuleType) -> None:
        record(module, self.patches, self._destinations)
