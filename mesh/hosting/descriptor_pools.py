"""Generated `_pb2` modules of several services side by side, though the descriptor pool takes every name once.

A service's generated files go into the default pool, as ever; identical copies of neighbours are one file there. The
first that clashes, by file or by symbol, gives its service a pool of its own, for this generation and all after it.
What `descriptor_pool.Default()` gives the service is then that pool, and the messages of `google/*` that can stand in
its fields (Timestamp, Struct, Any) are copies in it: a field takes only its own pool's classes. Options
(`google.api`, `descriptor_pb2`) stay shared.
"""

from __future__ import annotations

import sys
from types import FrameType, ModuleType
from typing import Any

from mesh.compat.protobuf import forget_classes, symbol_database
from mesh.hosting.arrivals import Arrivals
from mesh.hosting.imports.import_scope import ImportScope, is_shared_package
from mesh.hosting.imports.module_keys import current_scope, shared_imports
from mesh.hosting.patches import Patch
from mesh.service import ServiceContext

_SHARED = ("google.api", "google.protobuf.compiler", "google.protobuf.descriptor_pb2", "google.protobuf.internal")


class RestartLoad(BaseException):
    """A clash after modules of the service were bound to the default pool: load them again with an own one."""


class DescriptorPool:
    """The generated modules of one generation.

    private: names of the services that are known to clash; added to when this one does.
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
        """Begin, with the modules that the generation will have."""
        self._scope = scope
        scope.descriptor_pool = self
        if self._service_name in self._private:
            self.use_private_pool()

    def add(self, serialized: bytes) -> Any:
        """The FileDescriptor of a generated module; where it does not fit into the default pool, in an own one."""
        if self.pool is None:
            try:
                found = default_pool().AddSerializedFile(serialized)
            except TypeError:
                if self.may_restart_load and (self._is_used or self._holds_messages()):
                    raise RestartLoad from None
                self.use_private_pool()
            else:
                self._is_used = True
                return found
        self._add_dependencies(serialized)
        return self.pool.AddSerializedFile(serialized)

    def use_private_pool(self) -> None:
        """From now on everything goes into a pool of this generation's own."""
        with shared_imports():
            from google.protobuf import descriptor_pool

            self.pool = descriptor_pool.DescriptorPool()
            self.symbols = symbol_database(self.pool)
        self._private.add(self._service_name)
        self._is_used = False
        if self._scope is not None:
            self._scope.copy_modules(self)

    def close(self) -> None:
        """Take the classes of the own pool out of the registry of all; the pool goes with its last message."""
        if self.symbols is not None:
            forget_classes(self.pool, self.symbols)

    # What the service has of the package `google`, once its pool is its own.

    def is_package(self, name: str) -> bool:
        """True for a package in which the service finds copies, beside what it shares."""
        if name != "google" and not self._is_below_google(name):
            return False
        if name not in self._packages:
            self._packages[name] = is_shared_package(name)
        return self._packages[name]

    def is_copy(self, name: str) -> bool:
        """True for a generated module that is executed for this service, into its pool."""
        return self._is_below_google(name) and name.endswith("_pb2")

    def _is_below_google(self, name: str) -> bool:
        return name.startswith("google.") and not name.startswith(_SHARED)

    def _holds_messages(self) -> bool:
        """True if code of the service has imported messages of `google/*` that are bound to the default pool."""
        for module in self._scope.modules() if self._scope is not None else ():
            if not module.__name__.endswith("_pb2"):
                for value in list(vars(module).values()):
                    name = value.__name__ if isinstance(value, ModuleType) else getattr(value, "__module__", None)
                    if isinstance(name, str) and self.is_copy(name):
                        return True
        return False

    def _add_dependencies(self, serialized: bytes) -> None:
        from google.protobuf import descriptor_pb2

        for name in descriptor_pb2.FileDescriptorProto.FromString(serialized).dependency:
            try:
                self.pool.FindFileByName(name)
            except KeyError:
                needed = default_pool().FindFileByName(name).serialized_pb
                self._add_dependencies(needed)
                self.pool.AddSerializedFile(needed)


class _Adding:
    """What generated code gets from `descriptor_pool.Default()`."""

    def __init__(self, pool: DescriptorPool) -> None:
        self._pool = pool

    def AddSerializedFile(self, serialized: bytes) -> Any:  # protobuf's name
        return self._pool.add(serialized)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._pool.pool or default_pool(), name)


def default_pool() -> Any:
    """The pool of the process."""
    from google.protobuf import descriptor_pool

    return getattr(descriptor_pool.Default, "shared", descriptor_pool.Default)()


class DescriptorPools(Patch):
    """Which services need a pool of their own, and which pool the running service has."""

    def __init__(self, arrivals: Arrivals) -> None:
        super().__init__()
        self._arrivals = arrivals
        self._private: set[str] = set()

    def install(self) -> None:
        self._arrivals.when("google.protobuf.descriptor_pool", self._patch_pools)
        self._arrivals.when("google.protobuf.symbol_database", self._patch_symbols)

    def of(self, service: ServiceContext) -> DescriptorPool:
        """The pool of a generation that begins."""
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
        """json_format and pickle find a message's class by its name here."""
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
