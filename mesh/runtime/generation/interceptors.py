"""Puts the declared interceptors of a gRPC listener around the methods of its servicers."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from types import ModuleType
from typing import Any

import grpc
from msgspec.structs import replace

from mesh.contract.servicers import Handler, Handlers, is_async
from mesh.errors import UsageError
from mesh.serving.mains.grpc_methods import aio_method, sync_method


def intercepted(
    service: str, handlers: Handlers, declared: Sequence[Any], own_grpc: ModuleType | None = None
) -> Handlers:
    """Return the handlers within these interceptors, the first one outermost.

    declared: objects, or classes and functions that make one; own_grpc: the `grpc` from which they derive, if it is not
    mesh's. Plain methods get those that derive from
    grpc.ServerInterceptor, coroutines those of grpc.aio. Called in the service's event loop.
    Raises UsageError for one that is neither, and for a method that would be left without any.
    """
    if not declared:
        return handlers
    made = [each if hasattr(each, "intercept_service") and not isinstance(each, type) else each() for each in declared]
    module = own_grpc or grpc
    plain = [each for each in made if isinstance(each, module.ServerInterceptor)]
    later = [each for each in made if isinstance(each, module.aio.ServerInterceptor)]
    for each in made:
        if each not in plain and each not in later:
            raise UsageError(
                f"{service}: {type(each).__name__} is no interceptor; derive it from grpc.ServerInterceptor, or from "
                "grpc.aio.ServerInterceptor for coroutines"
            )
    if handlers.generic:
        raise UsageError(f"{service}: interceptors cannot be put around a handler that looks up its methods itself")

    def within(path: str, handler: Handler) -> Handler:
        found = later if is_async(handler) else plain
        if not found:
            kinds = ("a coroutine", "grpc.aio") if is_async(handler) else ("a plain function", "grpc")
            raise UsageError(
                f"{service}: {path} is {kinds[0]}, and no interceptor derives from {kinds[1]}.ServerInterceptor"
            )
        if is_async(handler):
            return aio_method(path, handler, found, asyncio.get_running_loop())
        return sync_method(path, handler, found, None)

    return replace(handlers, by_path={path: within(path, each) for path, each in handlers.by_path.items()})
