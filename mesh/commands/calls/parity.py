"""`mesh parity`: makes each read of a contract over gRPC and over HTTP, and prints the differences."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from mesh.commands.project import project_folder
from mesh.commands.terminal.streams import write_lines

if TYPE_CHECKING:
    from mesh.calling.parity import Compared
    from mesh.topology.model import Address


@click.command()
@click.argument("service", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object for each read.")
@click.option("--request", "requests", multiple=True, metavar="METHOD=JSON", help="Send METHOD this; repeats.")
def parity(service: str | None, as_json: bool, requests: tuple[str, ...]) -> int:
    """Make each read of SERVICE (default: of every running service) both ways; exit status 1 on any difference."""
    from mesh.calling.parity import compare

    given = dict(each.partition("=")[::2] for each in requests)
    differing = False
    for name, http, grpc, tls in running_listeners(service):
        for compared in compare(name, http, grpc, given, tls):
            write_lines(json.dumps(compared.as_json()) if as_json else shown(compared))
            differing = differing or bool(compared.differences)
    return 1 if differing else 0


def shown(compared: Compared) -> str:
    """Return `same  user-service GetUser {"id":1}  OK  grpc 0.9 ms  http 1.4 ms`, and a line for each difference."""
    word = "differs" if compared.differences else "same"
    times = f"grpc {compared.grpc_milliseconds:.1f} ms  http {compared.http_milliseconds:.1f} ms"
    first = f"{word:<8}{compared.service}  {compared.method} {compared.request}  {compared.code}  {times}"
    return "\n".join([first, *(f"          {line}" for line in compared.differences)])


def running_listeners(service: str | None) -> Iterator[tuple[str, Address, Address, bool]]:
    """Yield (name, HTTP address, gRPC address, whether it is HTTPS) of the service, or of each one with both."""
    from mesh.control.client import address_in, running_services
    from mesh.errors import UsageError

    both: dict[str, tuple[Address, Address, bool]] = {}
    for state in running_services(project_folder()):
        http, grpc = address_in(state, "http"), address_in(state, "grpc")
        if http is not None and grpc is not None:
            both[state["name"]] = (http, grpc, "http" in state["tls"])
    if service is not None and service not in both:
        others = f"; {', '.join(both)} do" if both else "; start it with `mesh up`"
        raise UsageError(f"{service!r} does not run with both an HTTP and a gRPC listener{others}")
    if not both:
        raise UsageError("no service with both an HTTP and a gRPC listener is running; start one with `mesh up`")
    for name, addresses in both.items():
        if service in (None, name):
            yield name, *addresses
