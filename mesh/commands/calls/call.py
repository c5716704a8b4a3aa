"""`mesh call`: one gRPC call through reflection; needs no stubs."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from mesh.commands.project import current_folder, project_folder
from mesh.commands.terminal.streams import write_lines

if TYPE_CHECKING:
    from google.protobuf.descriptor import ServiceDescriptor

    from mesh.topology.model import Address
    from mesh.topology.selection import Selection


@click.command()
@click.argument("service")
@click.argument("method")
@click.argument("request", default="{}")
@click.option(
    "--timeout",
    type=click.FloatRange(0, min_open=True),
    default=10.0,
    show_default=True,
    metavar="SECONDS",
    help="Give up after this long.",
)
@click.option("--trace", "with_trace", is_flag=True, help="Show the calls and log lines that followed, on stderr.")
def call(service: str, method: str, request: str, timeout: float, with_trace: bool) -> int:
    """Call METHOD of SERVICE (a name of the topology, or host:port) with REQUEST as JSON; `-` reads it from stdin."""
    from mesh.calling.reflected import Reflected
    from mesh.commands.history.traces import find, shown
    from mesh.compat.grpcio import is_not_http2, is_unconnected
    from mesh.context import call_from, headers_of
    from mesh.contract.rest.transcoding import write_json
    from mesh.errors import Code, MeshError, StatusError

    text = sys.stdin.read() if request == "-" else request
    address = address_of(service)
    caller = call_from({})
    try:
        with Reflected(address, timeout, lambda: described(service)) as reflected:
            for answer in reflected.call(method, text.encode(), timeout, headers_of(caller)):
                click.echo(write_json(answer))
    except StatusError as error:
        if error.code is Code.DEADLINE_EXCEEDED:
            raise MeshError(
                f"{service}: no answer from {address} within {timeout:g} s; allow more with --timeout"
            ) from error
        if error.code is Code.UNAVAILABLE and is_not_http2(error.message):
            raise MeshError(f"{service}: what listens at {address} does not speak gRPC") from error
        if error.code is Code.UNAVAILABLE and is_unconnected(error.message):
            raise MeshError(f"{service}: nothing listens at {address}; start it with `mesh up`") from error
        raise
    finally:
        if with_trace:
            write_lines(shown(*find(caller.trace_id)), err=True)
        elif sys.stderr.isatty():
            write_lines(f"trace {caller.trace_id}", err=True)
    return 0


def address_of(service: str) -> Address:
    """Return the address of the service's gRPC listener: that of a running mesh, or else the declared one."""
    from mesh.control.client import address_in, running_services
    from mesh.errors import UsageError
    from mesh.topology.model import Address

    if ":" in service:
        try:
            return Address.parse(service)
        except ValueError as error:
            raise UsageError(str(error)) from None
    name = service.removesuffix(".grpc")
    for state in running_services(project_folder()):
        if state["name"] == name and (address := address_in(state, "grpc")) is not None:
            return address
    return declared_address(name)


def declared_address(name: str) -> Address:
    from mesh.topology.directory import Directory

    return Directory.of(declaring(name).declared, {}).address(name, "grpc")


def declaring(name: str) -> Selection:
    """Return the service of the project's topology; raises UsageError if it has none of that name."""
    from mesh.store.topology import store
    from mesh.topology.loading import load
    from mesh.topology.selection import select

    return select(load(None, current_folder(), store), [name])


def described(service: str) -> Iterator[ServiceDescriptor]:
    """Yield what the topology's .proto files describe for a service that does not tell its methods itself."""
    from mesh.calling.contract_lookup import services_in
    from mesh.runtime.contracts import Contracts

    if ":" in service:
        return
    name = service.removesuffix(".grpc")
    selection = declaring(name)
    contracts = Contracts(selection.declared.folder / ".mesh" / "protos")
    contracts.compile(selection)
    yield from services_in((*contracts.descriptors()[name], *selection.declared.descriptors))
