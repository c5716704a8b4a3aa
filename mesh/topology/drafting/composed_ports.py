"""Which ports of a Compose file's service are its listeners', and how its command is told of them."""

from __future__ import annotations

from collections.abc import Sequence

from mesh.python_command import with_given_port
from mesh.topology.compose.services import ComposeService
from mesh.topology.drafting.listening import Listening
from mesh.topology.drafting.sketch import Sketch


def ports_of_code(service: ComposeService, facts: Listening) -> list[tuple[int, int]]:
    """Return the ports of a service that publishes none: its variables name one, or its code does."""
    named = {key: int(value) for key, value in service.env.items() if key in facts.variables and value.isdecimal()}
    grpc = next((port for key, port in named.items() if "GRPC" in key or not facts.http), facts.grpc_port)
    http = next((port for key, port in named.items() if port != grpc), facts.http_port)
    return [(0, port) for port in (http if facts.http else None, grpc if facts.grpc else None) if port]


def grpc_port_of(service: ComposeService, facts: Listening, inner: Sequence[int]) -> int | None:
    """Return the container port for gRPC: its code's, one in a GRPC variable, one from 50000 to 50999, or the last."""
    if facts.grpc_port in inner:
        return facts.grpc_port
    named = [port for key, text in service.env.items() if "GRPC" in key for port in inner if text.endswith(str(port))]
    usual = [port for port in inner if 50000 <= port <= 50999]
    if not facts.grpc:
        return next(iter([*named, *usual]), None) if not facts.http_port else None
    if not facts.http:
        return inner[0] if inner else None
    return next(iter([*named, *usual, *inner[1:][-1:]]), None)


def http_port_of(facts: Listening, others: Sequence[int]) -> int | None:
    if not others or (facts.grpc and not facts.http):
        return None
    return facts.http_port if facts.http_port in others else others[0]


def take_port_from_mesh(sketch: Sketch, service: ComposeService) -> None:
    """Let a command listen on the port that mesh gives it, where it names the one that it has in the container."""
    for _, container in service.ports[:1]:
        if sketch.env.get("PORT") == str(container):
            del sketch.env["PORT"]
        sketch.command = with_given_port(sketch.command or "", container)
