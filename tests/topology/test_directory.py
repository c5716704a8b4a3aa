"""Host names and ports, and where they lead."""

from __future__ import annotations

import pytest

from mesh.errors import UsageError
from mesh.topology.directory import Directory
from mesh.topology.model import Address, Service, Tcp, Topology
from mesh.topology.selection import renumber

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
        ((5672, 15672), ("mq:15672", "mq:5672"), {"mq:15672": 9001, "mq:5672": 9002}),
        ((8000, 9001), ("web:8000", "web:9000"), {"web:8000": 9001, "web:9000": 9002}),
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


@pytest.mark.parametrize(
    ("ports", "aliases"),
    [
        ((5672, 15672), ("broker:15672",)),
        ((5672, 15672), ("mq:15672", "mq:5672")),
        ((5672, 15672), ("mq:1", "mq:2")),
        ((5672, 15672), ("mq:1",)),
        ((80, 443), ("mq:443", "broker:8443", "other:443")),
    ],
)
def test_names_lead_to_the_same_after_a_move_of_the_ports(ports: tuple[int, ...], aliases: tuple[str, ...]) -> None:
    declared = Topology("shop", Service("broker", command="serve", tcp=Tcp(ports=ports, aliases=aliases)))
    before = Directory.of(declared, {("broker", "tcp"): AT}).names(declared)
    moved = renumber(declared, 7000, free=False)
    assert moved["broker"].tcp is not None
    assert moved["broker"].tcp.ports == (7000, 7001)
    after = Directory.of(moved, {("broker", "tcp"): AT}).names(moved)
    assert {name: after[name] for name in before} == before


def test_a_new_port_is_not_one_that_means_another_of_the_same_listener() -> None:
    declared = Topology("shop", Service("broker", command="serve", tcp=Tcp(ports=(5672, 15672))))
    with pytest.raises(UsageError, match=r"would get port 15672, which is declared for broker\.tcp"):
        renumber(declared, 15672, free=False)
