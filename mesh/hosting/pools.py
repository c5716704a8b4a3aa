"""Which services need a descriptor pool of their own (see protos.py), and which pool the service in hand has."""

from __future__ import annotations

from types import ModuleType
from typing import Any

from mesh.hosting.arrivals import Arrivals
from mesh.hosting.patches import Patch
from mesh.hosting.protos import Protos
from mesh.service import ServiceContext, current_service_var


class Pools(Patch):
    """Which services need a pool of their own, and which pool the service in hand has."""

    def __init__(self, arrivals: Arrivals) -> None:
        super().__init__()
        self._arrivals = arrivals
        self._private: set[str] = set()
        self._of: dict[int, Protos] = {}

    def install(self) -> None:
        self._arrivals.when("google.protobuf.symbol_database", self._serve)

    def of(self, service: ServiceContext) -> Protos:
        """The protos of a generation that begins."""
        return self._of.setdefault(id(service), Protos(service.name, self._private))

    def remove_service(self, service: ServiceContext) -> None:
        self._of.pop(id(service), None)

    def _serve(self, symbol_database: ModuleType) -> None:
        """json_format and pickle find a message's class by its name here."""
        default = symbol_database.Default

        def own_default() -> Any:
            service = current_service_var.get()
            protos = None if service is None else self._of.get(id(service))
            return default() if protos is None or protos.symbols is None else protos.symbols

        self.patches.replace(symbol_database, "Default", own_default)
