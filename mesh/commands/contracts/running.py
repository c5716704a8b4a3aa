"""The running services, as commands find them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from mesh.commands.project import project_folder

if TYPE_CHECKING:
    from mesh.topology.model import Address


def running_listeners(service: str | None) -> Iterator[tuple[str, Address, Address]]:
    """Return (name, HTTP address, gRPC address) of the service, or of each one that runs with both listeners."""
    from mesh.control.client import alive, ask
    from mesh.errors import UsageError
    from mesh.topology.model import Address

    states = [each for mesh in alive(project_folder()) for each in ask(mesh, "GET", "/api/state")["services"]]
    both = {each["name"]: each for each in states if each["http"] and each["grpc"]}
    if service is not None and service not in both:
        others = f"; {', '.join(both)} do" if both else "; start it with `mesh up`"
        raise UsageError(f"{service!r} does not run with both an HTTP and a gRPC listener{others}")
    if not both:
        raise UsageError("no service with both an HTTP and a gRPC listener is running; start one with `mesh up`")
    for name, each in both.items():
        if service in (None, name):
            yield name, Address.parse(urlsplit(each["http"][0]).netloc), Address.parse(each["grpc"])
