"""prometheus_client's default registry as each service sees it: its own metrics, new with every generation."""

from __future__ import annotations

from collections.abc import Callable, Collection
from types import ModuleType
from typing import Any

from mesh.compat.prometheus import is_registered
from mesh.hosting.import_hooks import ImportHooks
from mesh.hosting.patches import Patch
from mesh.service import ServiceContext, current_service_var

_SHARED = ("PROCESS_COLLECTOR", "PLATFORM_COLLECTOR", "GC_COLLECTOR")


class PrometheusRegistry(Patch):
    """Makes `REGISTRY` itself act for the current service: it is a default argument everywhere."""

    def __init__(self, import_hooks: ImportHooks) -> None:
        super().__init__()
        self._import_hooks = import_hooks
        #: By the id of each service added here; created at its first use.
        self._registries: dict[int, Any] = {}
        self._undo: list[tuple[Any, type, type]] = []
        self._new: Callable[[ServiceContext], Any]

    def install(self) -> None:
        self._import_hooks.on_import("prometheus_client", self._serve)

    def uninstall(self) -> None:
        super().uninstall()
        while self._undo:
            registry, ours, before = self._undo.pop()
            # Another isolation may have been installed since; without services here, ours only delegates.
            if type(registry) is ours:
                object.__setattr__(registry, "__class__", before)

    def add_service(self, service: ServiceContext) -> None:
        self._registries[id(service)] = None

    def carry(self, earlier: ServiceContext, service: ServiceContext, modules: Collection[str]) -> None:
        before = self._registries.get(id(earlier))
        if before is not None:
            registry = self._new(service)
            for collector, module in before.registrars.items():
                if module in modules and is_registered(before, collector):
                    registry.register(collector)
                    registry.registrars[collector] = module

    def remove_service(self, service: ServiceContext) -> None:
        self._registries.pop(id(service), None)

    def _serve(self, prometheus: ModuleType) -> None:
        registries, shared = self._registries, prometheus.REGISTRY
        before: Any = type(shared)

        class OwnRegistry(prometheus.CollectorRegistry):  # type: ignore[misc,name-defined]  # known at run time
            """registrars: on behalf of which module each collector was registered."""

            def __init__(self) -> None:
                self.registrars: dict[Any, str] = {}
                super().__init__(auto_describe=True)

            def register(self, collector: Any) -> None:
                super().register(collector)
                service = current_service_var.get()
                if service is not None and service.import_scope is not None:
                    self.registrars[collector] = service.import_scope.acting_module()

        def own(service: ServiceContext) -> Any:
            registry = registries[id(service)] = OwnRegistry()
            # Of the process, and therefore in every service's /metrics.
            for name in _SHARED:
                registry.register(getattr(prometheus, name))
            return registry

        self._new = own

        class PerServiceRegistry(before):  # type: ignore[misc]  # the base is known at run time
            def __getattribute__(self, name: str) -> Any:
                service = current_service_var.get()
                if service is None or name == "__class__" or id(service) not in registries:
                    return super().__getattribute__(name)
                return getattr(registries[id(service)] or own(service), name)

        self._undo.append((shared, PerServiceRegistry, before))
        shared.__class__ = PerServiceRegistry
