"""Another service's contract as an ASGI application: JSON outside, gRPC to the service inside."""

from __future__ import annotations

from typing import Any

from mesh.calling.connections import current_connections
from mesh.calling.contract_lookup import contract_of
from mesh.calling.grpc_transport import GrpcTransport
from mesh.contract import Contract, Transcoder
from mesh.errors import MeshError
from mesh.topology.directory import Directory
from mesh.topology.model import Http


def mount(http: Http, directory: Directory) -> Transcoder:
    """Return the contracts that the listener mounts under its prefix, over the gRPC channels of their services.

    Called in the service that mounts them, in its loop. Raises UsageError if a contract is not known.
    """
    connections = current_connections()
    if connections is None:
        raise MeshError("a contract is mounted inside a service that mesh runs")
    contracts = {service: contract_of(service, directory) for service in http.contracts}
    answering = {name: service for service, contract in contracts.items() for name in contract.services}
    methods: list[Any] = [method for contract in contracts.values() for method in contract]
    return Transcoder(
        Contract(methods),
        GrpcTransport(answering, directory, connections),
        prefix=http.prefix,
        unknown_fields=http.unknown_fields,
        descriptors=directory.described(*http.contracts),
    )
