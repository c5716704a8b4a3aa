"""Lets several services load generated `_pb2` modules, although the descriptor pool takes every name only once.

A service's generated files go into the default pool, as usual; identical copies of other services are one file there.
The first that clashes, by file or by symbol, gives its service a separate pool, for this and all later generations.
`descriptor_pool.Default()` then gives the service that pool, and the messages of `google/*` that can be in
its fields (Timestamp, Struct, Any) are copies in it: a field accepts only classes of its own pool. Options
(`google.api`, `descriptor_pb2`) stay shared.
"""

from __future__ import annotations

import sys
from contextlib import AbstractContextManager
from types import FrameType, ModuleType
from typing import Any

from mesh.compat.protobuf import forget_classes, symbol_database
from mesh.hosting.import_hooks import ImportHooks
from mesh.hosting.imports.module_keys import current_scope, shared_imports
from mesh.hosting.imports.scope.import_scope import ImportScope
from mesh.hosting.patches import Patch
from mesh.service import ServiceContext

_SHARED = ("google.api", "google.protobuf.compiler", "google.protobuf.descriptor_pb2", "google.protobuf.internal")


class RestartLoad(BaseException):
    """Raised at a clash after modules of the service were bound to the default pool: load it with a private one."""


class DescriptorPool:
    """The generated modules of one generation.

    private: names of the services that are known to clash; this one is added when it does.
    """

    def __init__(self, service_name: str, private: set[str]) -> None:
        self.may_restart_load = False
        self.pool: Any = None
        self.symbols: Any = None
        self._service_name = service_name
        self._private = private
        self._is_used = False
        self._packages: dict[str, bool] = {}
        self._scope: ImportScope | None = None

    def open(self, scope: ImportScope) -> None:
        """Start, with the modules that the generation will have."""
        self._scope = scope
        scope.descriptor_pool = self
        if self._service_name in self._private:
            self.use_private_pool()

    @property
    def is_private(self) -> bool:
        """True once the generation has a pool of its own."""
        return self.pool is not None

    def carry(self, earlier: DescriptorPool) -> None:
        """Take over generated modules of an earlier generation."""
        self._is_used = earlier._is_used

    def add(self, serialized: bytes) -> Any:
        """Return the FileDescriptor of a generated module; from a private pool if it clashes with the default one."""
        if self.pool is None:
            try:
                found = self.default().AddSerializedFile(serialized)
            except TypeError:
                if self.may_restart_load and (self._is_used or self._holds_messages()):
                    raise RestartLoad from None
                self.use_private_pool()
            else:
                self._is_used = True
                return found
        self._add_dependencies(serialized)
        return self.pool.AddSerializedFile(serialized)

    def default(self) -> Any:
        """Return the pool that all services with the same protobuf share."""
        with self._packages_of_service():
            from google.protobuf import descriptor_pool

        default = descriptor_pool.Default
        # Several meshes of one process, as in a test run, have each replaced the function of the one before.
        while hasattr(default, "shared"):
            default = default.shared
        return default()

    def use_private_pool(self) -> None:
        """Use a private pool of this generation for everything from now on."""
        with self._packages_of_service():
            from google.protobuf import descriptor_pool

            self.pool = descriptor_pool.DescriptorPool()
            self.symbols = symbol_database(self.pool)
        self._private.add(self._service_name)
        self._is_used = False
        if self._scope is not None:
            self._scope.copy_modules(self)

    def close(self) -> None:
        """Remove the private pool's classes from the global registry; the pool is freed with its last message."""
        if self.symbols is not None:
            forget_classes(self.pool, self.symbols)

    # The service's modules of the package `google`, once its pool is private.

    def is_package(self, name: str) -> bool:
        """Return True for a package in which the service finds copies, beside what it shares."""
        if name != "google" and not self._is_below_google(name):
            return False
        if name not in self._packages:
            self._packages[name] = self._scope is not None and self._scope.is_shared_package(name)
        return self._packages[name]

    def is_copy(self, name: str) -> bool:
        """Return True for a generated module that is executed for this service, into its pool."""
        return self._is_below_google(name) and name.endswith("_pb2")

    def _packages_of_service(self) -> AbstractContextManager[None]:
        """Import the protobuf that the service has, its own or mesh's."""
        return shared_imports(None if self._scope is None else self._scope.site)

    def _is_below_google(self, name: str) -> bool:
        return name.startswith("google.") and not name.startswith(_SHARED)

    def _holds_messages(self) -> bool:
        """Return True if the service's code has imported messages of `google/*` that are bound to the default pool."""
        for module in self._scope.modules() if self._scope is not None else ():
            if not module.__name__.endswith("_pb2"):
                for value in list(vars(module).values()):
                    name = value.__name__ if isinstance(value, ModuleType) else getattr(value, "__module__", None)
                    if isinstance(name, str) and self.is_copy(name):
                        return True
        return False

    def _add_dependencies(self, serialized: bytes) -> None:
        with self._packages_of_service():
            from google.protobuf import descriptor_pb2

        for name in descriptor_pb2.FileDescriptorProto.FromString(serialized).dependency:
            try:
                self.pool.FindFileByName(name)
            except KeyError:
                needed = self.default().FindFileByName(name).serialized_pb
                self._add_dependencies(needed)
                self.pool.AddSerializedFile(needed)


class _Adding:
    """The pool that generated code gets from `descriptor_pool.Default()`."""

    def __init__(self, pool: DescriptorPool) -> None:
        self._pool = pool

    def AddSerializedFile(self, serialized: bytes) -> Any:  # protobuf's name
        return self._pool.add(serialized)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._pool.pool or self._pool.default(), name)


class DescriptorPools(Patch):
    """Knows which services need a private pool, and which pool the current service has."""

    def __init__(self, import_hooks: ImportHooks) -> None:
        super().__init__()
        self._import_hooks = import_hooks
        self._private: set[str] = set()

    def install(self) -> None:
        self._import_hooks.on_import("google.protobuf.descriptor_pool", self._patch_pools)
        self._import_hooks.on_import("google.protobuf.symbol_database", self._patch_symbols)

    def of(self, service: ServiceContext) -> DescriptorPool:
        """Return the pool of a new generation."""
        return DescriptorPool(service.name, self._private)

    def _patch_pools(self, descriptor_pool: ModuleType) -> None:
        shared = descriptor_pool.Default

        def Default() -> Any:  # protobuf's name
            own = _own_pool()
            if own is None:
                return shared()
            return _Adding(own) if _is_generated(sys._getframe(1)) else own.pool or shared()

        Default.shared = shared  # type: ignore[attr-defined]
        self.patches.replace(descriptor_pool, "Default", Default)

    def _patch_symbols(self, module: ModuleType) -> None:
        """Patch the lookup by which json_format and pickle find a message's class."""
        shared = module.Default

        def Default() -> Any:  # protobuf's name
            own = _own_pool()
            return shared() if own is None or own.symbols is None else own.symbols

        self.patches.replace(module, "Default", Default)


def _own_pool() -> DescriptorPool | None:
    scope = current_scope()
    return None if scope is None else scope.descriptor_pool


def _is_generated(frame: FrameType) -> bool:
    return str(frame.f_globals.get("__name__")).endswith("_pb2")
