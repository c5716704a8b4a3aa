"""A service as its callers see it: its methods, called over gRPC first and over HTTP if gRPC fails."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, Unpack, overload

import grpc
import grpc.aio

from mesh.calling.peer.interceptors import OutgoingCall
from mesh.calling.peer.options import PeerKeywords, Retry
from mesh.calling.peer.peer import AsyncPeer
from mesh.calling.peer.sync import BlockingPeer

__all__ = ["AsyncPeer", "BlockingPeer", "OutgoingCall", "Peer", "Retry", "SyncPeer"]

S = TypeVar("S")


@overload
def Peer(service: str, /, **options: Unpack[PeerKeywords]) -> AsyncPeer: ...
@overload
def Peer(stub: Callable[[grpc.aio.Channel], S], /, **options: Unpack[PeerKeywords]) -> S: ...
def Peer(service: Any, /, **options: Any) -> Any:
    """Return the methods of a service, to be awaited: `await Peer("user-service").GetUser(id=1)`.

    service: its name in the topology, or the generated stub class of its protobuf service; then a type checker
        knows its types, and answers are instances of its messages.
    options: see PeerKeywords. Create peers once, at import; the connections belong to the calling service.
    """
    return AsyncPeer(service, **options)


@overload
def SyncPeer(service: str, /, **options: Unpack[PeerKeywords]) -> BlockingPeer: ...
@overload
def SyncPeer(stub: Callable[[grpc.Channel], S], /, **options: Unpack[PeerKeywords]) -> S: ...
def SyncPeer(service: Any, /, **options: Any) -> Any:
    """Return the same for plain code, which blocks for the answers: `SyncPeer("user-service").GetUser(id=1)`."""
    return AsyncPeer(service, **options).sync
