"""Options of a peer and of one call."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import TypedDict

import grpc
from msgspec import Struct

from mesh.calling.connections import ChannelOptions
from mesh.calling.peer.interceptors import Interceptor
from mesh.errors import UsageError

#: Seconds for all attempts of a call together, if neither the call nor the peer says otherwise.
TIMEOUT = 5.0


class Retry(Struct, frozen=True):
    """Repeats a call that is safe to repeat and reached no server: a read, or one with an idempotency key.

    attempts: at most, the first included. The pause before the second is a random part of `initial_seconds`, before
    each further one of twice as much, up to `max_seconds`. No attempt begins after the deadline of the call.
    """

    attempts: int = 3
    initial_seconds: float = 0.05
    max_seconds: float = 1.0

    def __post_init__(self) -> None:
        if self.attempts < 1 or self.initial_seconds < 0 or self.max_seconds < 0:
            raise UsageError(f"{self} needs at least one attempt, and no negative pause")

    def pause(self, failures: int) -> float | None:
        """Return the seconds to wait after so many failures, or None if there is no further attempt."""
        if failures >= self.attempts:
            return None
        return random.uniform(0, min(self.max_seconds, self.initial_seconds * 2 ** (failures - 1)))


class PeerKeywords(TypedDict, total=False):
    """The keyword arguments of Peer and SyncPeer.

    service: with a stub class, the service of the topology that is meant, if several have its contract.
    at: `host:port` of a server outside the topology; needs a stub class.
    timeout: seconds for all attempts of a unary call together, 5 by default.
    retry: see Retry; none by default.
    forward: names of headers or metadata of the current call to send with its own calls.
    interceptors: functions around each attempt, see OutgoingCall; the first is the outermost.
    wait_for_ready: wait for a missing server, up to the deadline, instead of calling over HTTP.
    compression: of what is sent over gRPC.
    credentials: of the gRPC channel, such as `grpc.ssl_channel_credentials()`; disables calls over HTTP.
    channel_options: of the gRPC channel, such as `("grpc.max_receive_message_length", 16 * 1024 * 1024)`.
    """

    service: str
    at: str
    timeout: float
    retry: Retry | None
    forward: Sequence[str]
    interceptors: Sequence[Interceptor]
    wait_for_ready: bool
    compression: grpc.Compression | None
    credentials: grpc.ChannelCredentials | None
    channel_options: ChannelOptions


class PeerOptions(Struct, frozen=True):
    """PeerKeywords with their defaults, except `service` and `at`."""

    timeout: float = TIMEOUT
    retry: Retry | None = None
    forward: Sequence[str] = ()
    interceptors: Sequence[Interceptor] = ()
    wait_for_ready: bool = False
    compression: grpc.Compression | None = None
    credentials: grpc.ChannelCredentials | None = None
    channel_options: ChannelOptions = ()


class CallOptions(Struct, frozen=True):
    """The keyword arguments of one call that are not fields of its request."""

    timeout: float | None = None
    metadata: Mapping[str, str | bytes] | Sequence[tuple[str, str | bytes]] = ()
    idempotency_key: str | None = None
    wait_for_ready: bool | None = None
    compression: grpc.Compression | None = None

    def pairs(self) -> list[tuple[str, str | bytes]]:
        """Return the metadata of the call; raises UsageError for what gRPC cannot carry."""
        given = self.metadata.items() if isinstance(self.metadata, Mapping) else self.metadata
        pairs = [(name.lower(), value) for name, value in given or ()]
        for name, value in pairs:
            if name.startswith("grpc-"):
                raise UsageError(f"metadata {name!r}: names that begin with grpc- are gRPC's own")
            if isinstance(value, bytes) != name.endswith("-bin"):
                raise UsageError(
                    f"metadata {name!r}: bytes and names that end with -bin go together, not {value!r:.40}"
                )
        return [*pairs, ("idempotency-key", self.idempotency_key)] if self.idempotency_key else pairs


CALL_OPTIONS = frozenset(CallOptions.__struct_fields__)
