"""The standard services of every gRPC server: health and reflection, unless the service has its own."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

from google.protobuf import descriptor_pool

from mesh.compat.grpcio import run_in
from mesh.contract.servicers import Handler, Handlers, behavior, collect_handlers

HEALTH = "grpc.health.v1.Health"
REFLECTION = "grpc.reflection.v1alpha.ServerReflection"
#: The same messages under a later name; clients try it first.
_LATER = "/grpc.reflection.v1.ServerReflection/"


class StandardServices:
    """Created at a client's first request: their imports cost more than a service's start."""

    def __init__(self, pool: ThreadPoolExecutor) -> None:
        self._pool = pool
        self._theirs = collect_handlers(())
        self._by_path: dict[str, Any] | None = None
        self._health: Any = None
        self._draining = False

    def serve(self, handlers: Handlers) -> None:
        """Serve beside these methods from now on; watchers of the health stay subscribed."""
        self._theirs, self._by_path = handlers, None
        if self._health is not None:
            self._health.serve(handlers.services)

    def handler(self, path: str) -> Any:
        """Return the handler of a standard method, or None for any other path."""
        if not path.startswith("/grpc."):
            return None
        if (found := self._by_path) is None:
            self._by_path = found = self._collect()
        return found.get(path)

    def drain(self) -> None:
        """Answer NOT_SERVING from now on, to watchers as well."""
        self._draining = True
        if self._health is not None:
            self._health.drain()

    def _collect(self) -> dict[str, Any]:
        from grpc_health.v1.health_pb2_grpc import add_HealthServicer_to_server
        from grpc_reflection.v1alpha import reflection, reflection_pb2_grpc

        from mesh.serving.grpc.health import Health

        if self._health is None:
            self._health = Health()
        self._health.serve(self._theirs.services)
        if self._draining:
            self._health.drain()

        def add_reflection(server: Any) -> None:
            names = [*self._theirs.services, HEALTH, REFLECTION]
            servicer = reflection.ReflectionServicer(dict.fromkeys(names), pool=_Pools(self._theirs))
            reflection_pb2_grpc.add_ServerReflectionServicer_to_server(servicer, server)  # type: ignore[no-untyped-call]  # its stubs leave it open

        def add_health(server: Any) -> None:
            add_HealthServicer_to_server(self._health, server)

        found = collect_handlers([add_health, add_reflection]).by_path
        by_path = {path: _in_pool(handler, self._pool) for path, handler in found.items()}
        return {**by_path, **{path.replace(f"/{REFLECTION}/", _LATER): handler for path, handler in by_path.items()}}


def _in_pool(handler: Handler, pool: ThreadPoolExecutor) -> Handler:
    """Return the handler as one that a synchronous server calls in this pool."""
    answer = behavior(handler)

    def in_pool(request: Any, context: Any) -> Any:
        return answer(request, context)

    run_in(pool, in_pool)
    kind = next(
        name for name in ("unary_unary", "unary_stream", "stream_unary", "stream_stream") if getattr(handler, name)
    )
    return handler._replace(**{kind: in_pool})


class _Pools:
    """The descriptor pools of the servicers' messages as one, for reflection."""

    def __init__(self, handlers: Handlers) -> None:
        pools = [method.descriptor.containing_service.file.pool for method in handlers.contract()]
        self._pools = tuple(dict.fromkeys([*pools, descriptor_pool.Default()]))

    def __getattr__(self, name: str) -> Any:
        def find(*arguments: Any) -> Any:
            for pool in self._pools[:-1]:
                try:
                    return getattr(pool, name)(*arguments)
                except KeyError:
                    continue
            return getattr(self._pools[-1], name)(*arguments)

        return find
