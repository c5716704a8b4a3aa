"""The last safe request that each service answered, kept for a replay after a reload."""

from __future__ import annotations

from msgspec import Struct

from mesh.topology.model import Kind


class Exchange(Struct, frozen=True):
    """A request that changes nothing, and its answer.

    target: path and query, or the method's path. headers: or metadata. request, answer: bodies, or serialized messages.
    """

    kind: Kind
    target: str
    headers: tuple[tuple[str, str], ...]
    request: bytes
    status: str
    answer: bytes
    milliseconds: float

    def __str__(self) -> str:
        return f"GET {self.target}" if self.kind == "http" else f"grpc {self.target.rpartition('/')[2]}"


class Exchanges:
    """The last exchange of each service, of any generation."""

    def __init__(self) -> None:
        self.last: dict[str, Exchange] = {}
