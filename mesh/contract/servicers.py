"""Collects the handlers of servicers without a server, and derives their contract."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from google.protobuf import descriptor_pool
from google.protobuf.descriptor import ServiceDescriptor
from msgspec import Struct

from mesh.compat.grpcio import methods_of
from mesh.contract.methods import Contract
from mesh.contract.own_protobuf import known_here, request_class
from mesh.errors import UsageError

Handler = Any  # grpc.RpcMethodHandler: a class whose attributes grpc itself does not type.


class Handlers(Struct, frozen=True):
    """Handlers of servicers. by_path: by `/package.Service/Method`. services: full names, in order of addition.

    generic: handlers that look up their methods themselves, and so name none.
    """

    by_path: Mapping[str, Handler]
    services: tuple[str, ...]
    generic: tuple[Any, ...]

    def contract(self) -> Contract:
        """Return the contract of those services whose descriptors can be found."""
        return Contract.of(descriptor for name in self.services if (descriptor := self._descriptor(name)) is not None)

    def _descriptor(self, service: str) -> ServiceDescriptor | None:
        pools = [_pool_of(handler) for path, handler in self.by_path.items() if path.startswith(f"/{service}/")]
        for pool in [*(pool for pool in pools if pool is not None), descriptor_pool.Default()]:
            try:
                found = pool.FindServiceByName(service)
            except KeyError:
                continue
            return known_here(found)
        return None


def collect_handlers(servicers: Iterable[Any]) -> Handlers:
    """Return the handlers of servicers: classes, objects, or functions that take the server and add to it.

    Raises UsageError for an object whose `add_…_to_server` cannot be found.
    """
    server = _Collector()
    for servicer in servicers:
        _adder(servicer)(server)
    return Handlers(
        server.by_path, tuple(dict.fromkeys(p.split("/")[1] for p in server.by_path)), tuple(server.generic)
    )


def is_async(handler: Handler) -> bool:
    """Return True if the servicer's function is a coroutine function or an async generator function."""
    function = behavior(handler)
    call = getattr(function, "__call__", function)  # noqa: B004  # an object with an async __call__ counts
    return any(inspect.iscoroutinefunction(f) or inspect.isasyncgenfunction(f) for f in (function, call))


def behavior(handler: Handler) -> Callable[..., Any]:
    """Return the servicer's function behind a handler."""
    found = handler.unary_unary or handler.unary_stream or handler.stream_unary or handler.stream_stream
    assert found is not None, "grpc's handlers hold one of the four"
    return found  # type: ignore[no-any-return]  # untyped in grpc


class _Collector:
    """A stand-in for the server that `add_…_to_server` and plain functions add to."""

    def __init__(self) -> None:
        self.by_path: dict[str, Handler] = {}
        self.generic: list[Any] = []

    def add_generic_rpc_handlers(self, generic_rpc_handlers: Iterable[Any]) -> None:
        for handler in generic_rpc_handlers:
            methods = methods_of(handler)
            if methods is None:
                self.generic.append(handler)
            else:
                self.by_path.update(methods)

    def add_registered_method_handlers(self, service_name: str, method_handlers: Mapping[str, Handler]) -> None:
        self.by_path.update({f"/{service_name}/{name}": handler for name, handler in method_handlers.items()})


def _adder(servicer: Any) -> Callable[[Any], Any]:
    if inspect.isroutine(servicer):
        return servicer
    instance = servicer() if isinstance(servicer, type) else servicer
    for base in type(instance).__mro__:
        adder = getattr(sys.modules.get(base.__module__), f"add_{base.__name__}_to_server", None)
        if adder is not None:
            return lambda server: adder(instance, server)
    if callable(instance):
        return instance  # type: ignore[no-any-return]  # an object that takes the server
    raise UsageError(
        f"{type(instance).__module__}.{type(instance).__qualname__} is not a servicer: none of its bases has an "
        "add_…_to_server beside it; derive it from the generated …Servicer class"
    )


def _pool_of(handler: Handler) -> Any:
    """Return the descriptor pool of the request's class, or None if it is not known."""
    kind = request_class(handler)
    return None if kind is None else kind.DESCRIPTOR.file.pool
