"""The contract of the service to call, as the topology declares it."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from pathlib import Path

from google.protobuf import descriptor_pb2, descriptor_pool
from google.protobuf.descriptor import ServiceDescriptor

from mesh.contract import Contract, Method
from mesh.contract.own_protobuf import separate_pool
from mesh.errors import UsageError
from mesh.topology.directory import Directory
from mesh.topology.model import Topology


def contract_of(service: str, directory: Directory) -> Contract:
    """Return the service's contract, as its servicers report it if they run here, else as declared.

    Raises UsageError if the topology does not say which protobuf services the service has, or where they
    are described.
    """
    if learned := directory.contracts.get(service):
        assert isinstance(learned, Contract)
        return learned
    directory.require(service)
    if not (names := directory.services.get(service)):
        raise UsageError(
            f'{service}: its contract is not known; declare services = ["package.Service"] in its grpc table'
        )
    return _declared(service, names, directory.descriptors.get(service, ()))


@cache
def _declared(service: str, names: tuple[str, ...], files: tuple[Path, ...]) -> Contract:
    return Contract.of(_descriptor(name, service, files) for name in names)


def refused_rules(topology: Topology, directory: Directory) -> list[str]:
    """Return a sentence for each HTTP rule that no listener of the topology can serve, as far as declared."""
    declared = {name: contract_of(name, directory) for name, services in directory.services.items() if services}
    contracts = list(declared.values())
    for service in topology:
        if service.http is not None and service.http.contracts:
            mounted = [declared[name] for name in service.http.contracts if name in declared]
            contracts.append(Contract(method for contract in mounted for method in contract))
        if service.grpc is not None and service.name not in declared:
            # Which of the described services it has is known once its code is loaded.
            described = services_in(directory.descriptors.get(service.name, ()))
            contracts += (Contract.of([descriptor]) for descriptor in described)
    return list(dict.fromkeys(sentence for contract in contracts for sentence in contract.refused))


def method_at(path: str, files: tuple[Path, ...]) -> Method:
    """Return the method of a path such as `/user.UserService/GetUser`; UsageError where no file describes it."""
    service = path.strip("/").partition("/")[0]
    return Contract.of([_descriptor(service, service, files)])[path]


def services_in(files: tuple[Path, ...]) -> Iterator[ServiceDescriptor]:
    """Yield the protobuf services that these files, each a serialized FileDescriptorSet, describe."""
    for path in files:
        for file in descriptor_pb2.FileDescriptorSet.FromString(path.read_bytes()).file:
            yield from _pool(files)[0].FindFileByName(file.name).services_by_name.values()


def _descriptor(name: str, service: str, files: tuple[Path, ...]) -> ServiceDescriptor:
    pools = [_pool(files)[0]] if files else []
    for pool in [*pools, descriptor_pool.Default()]:
        try:
            return pool.FindServiceByName(name)
        except KeyError:
            continue
    raise UsageError(f"{service}: no .proto of this project declares {name}; add its folder to protos")


@cache
def _pool(files: tuple[Path, ...]) -> tuple[descriptor_pool.DescriptorPool, object]:
    """Return a separate pool and its classes: a service's generated modules may hold another version of a file."""
    sets = (descriptor_pb2.FileDescriptorSet.FromString(path.read_bytes()) for path in files)
    return separate_pool(file for each in sets for file in each.file)
