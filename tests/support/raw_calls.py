"""gRPC methods called with bytes. The types of grpcio cannot tell what a method takes where no serializer is named."""

from __future__ import annotations

from typing import Any

import grpc


def unary(channel: grpc.Channel, method: str) -> grpc.UnaryUnaryMultiCallable[bytes, bytes]:
    """Return the method at that path, with one request and one answer."""
    return channel.unary_unary(method)


def answers(channel: grpc.Channel, method: str) -> grpc.UnaryStreamMultiCallable[bytes, bytes]:
    """Return the method at that path, with one request and a stream of answers."""
    return channel.unary_stream(method)


def metadata_of(error: Any) -> dict[str, Any]:
    """Return the trailing metadata of a failed call."""
    return dict(error.trailing_metadata())
