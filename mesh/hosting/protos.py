"""Generated `_pb2` modules of several services side by side, though the descriptor pool takes every name once.

A service's generated files go into the default pool, as ever; identical copies of neighbours are one file there. The
first that clashes, by file or by symbol, gives its service a pool of its own, for this generation and all after it.
What generated code reaches as `google.protobuf.descriptor_pool` is then a stand-in, and the messages of `google/*`
that can stand in its fields (Timestamp, Struct, Any) are twins in that pool: a field takes only its own pool's
classes. Options (`google.api`, `descriptor_pb2`) stay shared.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from types import ModuleType
from typing import Any

from mesh.hosting.facades import Facade

_SHARED = ("google.api.", "google.protobuf.compiler.", "google.protobuf.descriptor_pb2", "google.protobuf.internal.")


class StartAgain(BaseException):
    """A clash after modules of the service were bound to the default pool: load them again with an own one."""


class Protos:
    """The generated modules of one generation.

    private: names of the services that are known to clash; added to when this one does.
    """

    def __init__(self, service_name: str, private: set[str]) -> None:
        self._service = service_name
        self._known = private
        self._bound = False
        self._twins: dict[str, ModuleType] = {}
        self.builtins: dict[str, Any] = {}
        self.may_start_again = False
        self.pool: Any = None
        self.symbols: Any = None

    def dress(self, module: ModuleType, importer: str, fromlist: Sequence[str]) -> ModuleType:
        """What the service's module `importer` gets where it imports `google` or something below it."""
        if self.pool is None and self._service in self._known:
            self.go_private()
        if self.pool is not None:
            return self._google(module)
        if importer.endswith("_pb2"):
            generated = module.__name__ in ("google.protobuf", "google.protobuf.internal")
            return self._google(module) if generated else module
        names = (module.__name__, *(f"{module.__name__}.{name}" for name in fromlist))
        self._bound = self._bound or any(name.endswith("_pb2") and not name.startswith(_SHARED) for name in names)
        return module

    def add(self, serialized: bytes) -> Any:
        """The FileDescriptor of a generated module; where it does not fit into the default pool, in an own one."""
        from google.protobuf import descriptor_pool

        if self.pool is None:
            try:
                found = descriptor_pool.Default().AddSerializedFile(serialized)
            except TypeError:
                if self._bound and self.may_start_again:
                    raise StartAgain from None
                self.go_private()
            else:
                self._bound = True
                return found
        self._add_dependencies(serialized)
        return self.pool.AddSerializedFile(serialized)

    def go_private(self) -> None:
        """From now on everything goes into a pool of this generation's own."""
        from google.protobuf import descriptor_pool, symbol_database

        self._known.add(self._service)
        self._bound = False
        self.pool = descriptor_pool.DescriptorPool()
        self.symbols = symbol_database.SymbolDatabase(self.pool)

    def drop(self) -> None:
        """Takes the classes of the own pool out of the registry of all; the pool goes with its last message."""
        if self.symbols is not None:
            classes = self.symbols._classes
            for descriptor in [each for each in list(classes) if each.file.pool is self.pool]:
                classes.pop(descriptor, None)
        self._twins.clear()

    def _add_dependencies(self, serialized: bytes) -> None:
        from google.protobuf import descriptor_pb2, descriptor_pool

        for name in descriptor_pb2.FileDescriptorProto.FromString(serialized).dependency:
            try:
                self.pool.FindFileByName(name)
            except KeyError:
                needed = descriptor_pool.Default().FindFileByName(name).serialized_pb
                self._add_dependencies(needed)
                self.pool.AddSerializedFile(needed)

    def _google(self, module: ModuleType) -> ModuleType:
        name = module.__name__
        if name == "google.protobuf.descriptor_pool":
            return Facade(module, Default=lambda: _Adding(self))
        if name == "google.protobuf.symbol_database" and self.symbols is not None:
            return Facade(module, Default=lambda: self.symbols)
        if name == "google.protobuf.internal.builder":
            return Facade(module, BuildTopDescriptorsAndMessages=functools.partial(_build_named, module))
        if name.endswith("_pb2") and self.pool is not None and not name.startswith(_SHARED):
            return self._twin(module)
        return _Google(module, self) if hasattr(module, "__path__") else module

    def _twin(self, module: ModuleType) -> ModuleType:
        """The generated module once more, in the own pool."""
        name = module.__name__
        if name not in self._twins:
            twin = self._twins[name] = ModuleType(name, module.__doc__)
            twin.__file__ = module.__file__
            twin.__dict__["__builtins__"] = self.builtins
            loader: Any = getattr(module.__spec__, "loader", None)
            exec(loader.get_code(name), twin.__dict__)
        return self._twins[name]


class _Google(Facade):
    """The package `google`, or one below it, whose modules are those of the service's pool."""

    def __init__(self, real: ModuleType, protos: Protos) -> None:
        super().__init__(real)
        self.__dict__["_protos"] = protos

    def __getattr__(self, name: str) -> Any:
        found = super().__getattr__(name)
        return self.__dict__["_protos"]._google(found) if isinstance(found, ModuleType) else found


def _build_named(builder: Any, file: Any, name: str, module: dict[str, Any]) -> None:
    """Generated code gives its classes the plain `user_pb2` as `__module__`; pickle looks there for them."""
    builder.BuildTopDescriptorsAndMessages(file, module["__name__"], module)


class _Adding:
    """What generated code gets from `descriptor_pool.Default()`."""

    def __init__(self, protos: Protos) -> None:
        self._protos = protos

    def AddSerializedFile(self, serialized: bytes) -> Any:  # protobuf's name
        return self._protos.add(serialized)

    def __getattr__(self, name: str) -> Any:
        from google.protobuf import descriptor_pool

        return getattr(self._protos.pool or descriptor_pool.Default(), name)
