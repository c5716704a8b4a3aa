"""Looks up every gRPC method: in the current table, in the standard services, or else as an error with the reason."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc

from mesh.contract.servicers import Handler, Handlers
from mesh.service import ServiceContext
from mesh.serving.grpc.calls import ActiveCalls
from mesh.serving.grpc.handlers import Layered
from mesh.serving.grpc.recording import recorded_methods
from mesh.serving.grpc.standard_services import StandardServices

Layering = Callable[[str, Handler, ServiceContext, ActiveCalls], Layered]


class MethodDispatcher(grpc.GenericRpcHandler):
    """Stays while the code behind it changes: a method is looked up at every call, and all are replaced at once.

    calls: those being answered. spare: threads for the standard services, which are answered even while all
    of the service's threads are busy.
    """

    def __init__(self) -> None:
        self.calls = ActiveCalls()
        self.spare = ThreadPoolExecutor(100, thread_name_prefix="standard")
        self._standard = StandardServices(self.spare)
        self._methods: dict[str, Layered] = {}
        self._find: Callable[[Any], Handler | None] = lambda details: None

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Handler | None:
        return self._find(handler_call_details)

    def serve(self, handlers: Handlers, service: ServiceContext, layering: Layering) -> None:
        """Serve these methods instead of the previous ones; calls in flight end on the code they began with."""
        methods = {path: layering(path, handler, service, self.calls) for path, handler in handlers.by_path.items()}
        for path in methods.keys() & self._methods.keys():
            self._methods[path].succeed(methods[path])
        self._methods = methods
        table = recorded_methods({path: each.handler() for path, each in methods.items()}, handlers, service)
        self._standard.serve(handlers)

        def find(details: Any) -> Handler | None:
            found = table.get(details.method) or self._standard.handler(details.method)
            for generic in handlers.generic if found is None else ():
                found = found or generic.service(details)
            return found

        self._find = find

    def close(self, reason: str) -> None:
        """Answer every call with UNAVAILABLE and the reason."""

        def refuse(request: bytes, context: grpc.ServicerContext) -> bytes:
            context.abort(grpc.StatusCode.UNAVAILABLE, reason)

        refusal: Handler = grpc.unary_unary_rpc_method_handler(refuse)
        self._find = lambda details: refusal

    def drain(self) -> None:
        """Report by the health service that the service is about to end."""
        self._standard.drain()
