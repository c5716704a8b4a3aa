"""A service's gRPC listener as a backend: the running loop's channel, with the current call's trace and deadline."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from typing import Any

import grpc
import grpc.aio
from google.protobuf.message import Message

from mesh.calling.connections import ChannelOptions, Connections
from mesh.calling.timings import timed
from mesh.context import current_call, headers_of
from mesh.contract import ChannelBackend, Method, Reply
from mesh.contract.backends.backend import Frame, Metadata
from mesh.topology.directory import Directory
from mesh.topology.model import Address

#: Seconds a call may take if its caller set no deadline.
GRPC_TIMEOUT = 10.0


class GrpcTransport:
    """Calls the service that implements each method.

    services: full name of a protobuf service -> service. at: its address, if not the one in the directory.
    channel_options, credentials: of the channel. call_options: passed to grpc with every call.
    """

    def __init__(
        self,
        services: Mapping[str, str],
        directory: Directory,
        connections: Connections,
        *,
        at: Address | None = None,
        channel_options: ChannelOptions = (),
        credentials: grpc.ChannelCredentials | None = None,
        **call_options: Any,
    ) -> None:
        self._services = services
        self._directory = directory
        self._connections = connections
        self._at = at
        self._channel_options = channel_options
        self._credentials = credentials
        self._call_options = call_options

    async def unary(self, method: Method, request: Message, metadata: Metadata, timeout: float | None) -> Reply:
        limit = GRPC_TIMEOUT if timeout is None else timeout
        with timed(self._services[method.service], "grpc"):
            return await self._backend(method).unary(method, request, with_call(metadata), limit)

    def stream(
        self, method: Method, requests: AsyncIterator[Message], metadata: Metadata, timeout: float | None
    ) -> AsyncGenerator[Message, None]:
        return self._backend(method).stream(method, requests, with_call(metadata), timeout)

    def frames(
        self, method: Method, requests: AsyncIterator[Message], metadata: Metadata, timeout: float | None
    ) -> AsyncGenerator[Frame, None]:
        """Yield the frames of a stream, see ChannelBackend."""
        return self._backend(method).frames(method, requests, with_call(metadata), timeout)

    def _backend(self, method: Method) -> ChannelBackend:
        service = self._services[method.service]

        def channel() -> grpc.aio.Channel:
            address = self._at or self._directory.address(service, "grpc")
            certificate = None if self._at else self._directory.certificates.get((service, "grpc"))
            if certificate is None or self._credentials is not None:
                return self._connections.channel(address, self._channel_options, self._credentials)
            options = [*certificate.channel_options, *self._channel_options]
            return self._connections.channel(address, options, certificate.credentials)

        return ChannelBackend(channel, **self._call_options)


def with_call(metadata: Metadata) -> Metadata:
    """Return the metadata with the current call's trace instead of the given one."""
    ours = headers_of(current_call.get())
    return [*((name, value) for name, value in metadata if name not in ours), *ours.items()]
