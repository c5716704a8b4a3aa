"""Reads from a generated stub class which protobuf service it calls, and with which classes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mesh.contract import Contract
from mesh.contract.own_protobuf import known_here
from mesh.errors import UsageError
from mesh.topology.directory import Directory


class _Recorder:
    """Stands in for a channel: records the path and the answer's class of each method of a stub."""

    def __init__(self) -> None:
        self.methods: list[tuple[str, Any]] = []

    def unary_unary(self, path: str, request_serializer: Any, response_deserializer: Any, **options: Any) -> None:
        self.methods.append((path, response_deserializer.__self__))

    unary_stream = stream_unary = stream_stream = unary_unary


def contract_of_stub(stub: Callable[[Any], object]) -> Contract:
    """Return the contract that the stub was generated from; UsageError if it is not a stub.

    Its messages are the stub's classes, but for a service with another protobuf than mesh's.
    """
    recorder = _Recorder()
    try:
        stub(recorder)
        (name,) = {path.split("/")[1] for path, _ in recorder.methods}
        pool: Any = recorder.methods[0][1].DESCRIPTOR.file.pool
        return Contract.of([known_here(pool.FindServiceByName(name))])
    except (TypeError, ValueError, LookupError, AttributeError) as error:
        raise UsageError(
            f"Peer takes the name of a service or a generated stub class, such as user_pb2_grpc.UserServiceStub, not "
            f"{stub!r:.80}"
        ) from error


def service_of(contract: Contract, directory: Directory) -> str:
    """Return the one service of the topology with this contract; raises UsageError for none, or several."""
    (wanted,) = contract.services
    known = {name: tuple(found.services) for name, found in directory.contracts.items()}
    known |= {name: names for name, names in directory.services.items() if name not in known}
    found = [name for name, names in known.items() if wanted in names]
    if len(found) == 1:
        return found[0]
    if found:
        raise UsageError(f"{wanted} is served by {' and '.join(found)}; choose one: Peer(..., service={found[0]!r})")
    raise UsageError(
        f"no service of this topology has {wanted} behind its gRPC listener; declare it in services = [...] of the "
        'grpc table, or give the address: Peer(..., at="host:port")'
    )
