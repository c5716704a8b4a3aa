"""The contract of a service one calls, from what the topology declares of it."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from google.protobuf import descriptor_pb2, descriptor_pool
from google.protobuf.descriptor import ServiceDescriptor

from mesh.contract import Contract
from mesh.errors import UsageError
from mesh.topology.directory import Directory


def contract_of(service: str, directory: Directory) -> Contract:
    """As its servicers say where they run here, else as declared.

    UsageError where the topology does not say which protobuf services stand behind the service, or not where they are
    described.
    """
    if learned := directory.contracts.get(service):
        assert isinstance(learned, Contract)
        return learned
    if not (names := directory.services.get(service)):
        raise UsageError(
            f'{service}: its contract is not known; declare services = ["package.Service"] in its grpc table'
        )
    files = directory.descriptors.get(service, ())
    return Contract.of(_descriptor(name, service, files) for name in names)


def _descriptor(name: str, service: str, files: tuple[Path, ...]) -> ServiceDescriptor:
    pools = [_pool(files)] if files else []
    for pool in [*pools, descriptor_pool.Default()]:
        try:
            return pool.FindServiceByName(name)
        except KeyError:
            continue
    raise UsageError(f"{service}: no .proto of this project declares {name}; add its folder to protos")


@lru_cache
def _pool(files: tuple[Path, ...]) -> descriptor_pool.DescriptorPool:
    """A pool of its own: a service's generated modules may hold another version of the same file."""
    pool = descriptor_pool.DescriptorPool()
    for path in files:
        for file in descriptor_pb2.FileDescriptorSet.FromString(path.read_bytes()).file:
            pool.Add(file)
    return pool
