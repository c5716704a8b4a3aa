"""grpc.health.v1.Health of one server."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
SERVICE_UNKNOWN = health_pb2.HealthCheckResponse.SERVICE_UNKNOWN


class Health(health_pb2_grpc.HealthServicer):
    """The health service; each service is as healthy as the server itself, whose name is the empty one.

    grpcio-health-checking has one too, but without List, and its watchers keep a server from ending.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._names: tuple[str, ...] = ("",)
        self._draining = False

    def serve(self, services: Iterable[str]) -> None:
        """Report these services instead of the previous ones, and tell the watchers."""
        with self._changed:
            self._names = ("", *services)
            self._changed.notify_all()

    def drain(self) -> None:
        """Answer NOT_SERVING from now on; watchers are told, and then their calls end."""
        with self._changed:
            self._draining = True
            self._changed.notify_all()

    def Check(self, request: Any, context: Any) -> Any:
        if request.service not in self._names:
            context.abort(grpc.StatusCode.NOT_FOUND, f"no service is named {request.service!r} here")
        return health_pb2.HealthCheckResponse(status=self._status(request.service))

    def List(self, request: Any, context: Any) -> Any:
        statuses = {name: health_pb2.HealthCheckResponse(status=self._status(name)) for name in self._names}
        return health_pb2.HealthListResponse(statuses=statuses)  # type: ignore[attr-defined]  # newer than its stubs

    def Watch(self, request: Any, context: Any) -> Iterator[Any]:
        ended = threading.Event()
        told = None

        def end() -> None:
            with self._changed:
                ended.set()
                self._changed.notify_all()

        if context.add_callback(end) is False:  # grpc.aio reports nothing
            return
        while not ended.is_set() and not (self._draining and told is not None):
            told = self._news(request.service, told, ended)
            yield health_pb2.HealthCheckResponse(status=told)

    def _news(self, name: str, told: Any, ended: threading.Event) -> Any:
        """Return the status once it differs from the last one sent, or the call is over."""
        with self._changed:
            self._changed.wait_for(lambda: ended.is_set() or self._status(name) != told)
            return self._status(name)

    def _status(self, name: str) -> Any:
        if name not in self._names:
            return SERVICE_UNKNOWN
        return NOT_SERVING if self._draining else SERVING
