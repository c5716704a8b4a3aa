"""Host names and ports, and where they lead."""

from __future__ import annotations

import pytest

from mesh.topology.directory import Directory
from mesh.topology.model import Address, Service, Tcp, Topology

AT = tuple(Address("127.0.0.1", port) for port in (9001, 9002))


@pytest.mark.parametrize(
    ("ports", "aliases", "expected"),
    [
        (
            (15672, 5672),
            (),
            {"broker:15672": 9001, "broker:5672": 9002, "localhost:15672": 9001, "localhost:5672": 9002},
        ),
        ((15672, 5672), ("rabbit:15672", "rabbit:5672"), {"rabbit:15672": 9001, "rabbit:5672": 9002}),
        (
            (8081, 8082),
            ("rabbit:15672", "rabbit:5672"),
            {"rabbit:15672": 9001, "rabbit:5672": 9002, "broker:8082": 9002},
        ),
        ((15672, 5672), ("rabbit:5672",), {"rabbit:5672": 9002}),
        ((15672, 5672), ("rabbit:77",), {"rabbit:77": 9001}),
        ((1, 2), ("b:15672", "b:5672", "b:3", "b:4"), {"b:15672": 9001, "b:5672": 9002, "b:3": 9001, "b:4": 9002}),
    ],
)
def test_each_port_of_a_listener_is_reached_by_its_own_names(
    ports: tuple[int, ...], aliases: tuple[str, ...], expected: dict[str, int]
) -> None:
    declared = Topology("shop", Service("broker", command="serve", tcp=Tcp(ports=ports, aliases=aliases)))
    names = Directory.of(declared, {("broker", "tcp"): AT}).names(declared)
    found = {f"{host}:{port}": address.port for (host, port), address in names.items()}
    assert {name: found[name] for name in expected} == expected
    apart = Directory.of(declared, {}).names(declared)
    assert [apart["broker", port] for port in ports] == [Address("127.0.0.1", port) for port in ports]
