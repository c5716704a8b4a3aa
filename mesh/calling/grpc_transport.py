"""A service's gRPC listener as a backend: the channel of the running loop, with the call in hand carried along."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Mapping

import grpc.aio
from google.protobuf.message import Message

from mesh.calling.connections import Connections
from mesh.calling.timings import timed
from mesh.context import current_call, headers_of
from mesh.contract import ChannelBackend, Method, Reply
from mesh.contract.backends.backend import Metadata
from mesh.topology.directory import Directory

#: Seconds a call may take whose caller set no deadline.
GRPC_TIMEOUT = 10.0


class GrpcTransport:
    """Asks, for each method, the service that answers it. `services`: full name of a protobuf service -> service."""

    def __init__(self, services: Mapping[str, str], directory: Directory, connections: Connections) -> None:
        self._services = services
        self._directory = directory
        self._connections = connections

    async def unary(self, method: Method, request: Message, metadata: Metadata, timeout: float | None) -> Reply:
        service = self._services[method.service]
        backend = ChannelBackend(lambda: self._channel(service))
        with timed(service, "grpc"):
            return await backend.unary(
                method, request, with_call(metadata), GRPC_TIMEOUT if timeout is None else timeout
            )

    def stream(
        self, method: Method, requests: AsyncIterator[Message], metadata: Metadata, timeout: float | None
    ) -> AsyncGenerator[Message, None]:
        backend = ChannelBackend(lambda: self._channel(self._services[method.service]))
        return backend.stream(method, requests, with_call(metadata), timeout)

    def _channel(self, service: str) -> grpc.aio.Channel:
        return self._connections.channel(self._directory.address(service, "grpc"))


def with_call(metadata: Metadata) -> Metadata:
    """The metadata with the trace of the call in hand in the place of its caller's."""
    ours = headers_of(current_call.get())
    return [*((name, value) for name, value in metadata if name not in ours), *ours.items()]
