"""Ports that cannot be had: who holds them, and what is said of it."""

from __future__ import annotations

import errno
import os
import socket
from pathlib import Path

import pytest

from mesh import Address, Grpc, Http, Service, Topology
from mesh.runtime.instances.port_owner import PortOwner, answers_for_localhost, port_owner
from mesh.runtime.instances.ports import PortError, bind_all
from mesh.topology.model import Kind

KNOWN = Path("/proc/net/tcp").exists()


class Ports:
    """An instance that binds as the test says."""

    def __init__(self, refused: dict[int, int]) -> None:
        self.refused, self.bound, self.released = refused, list[int](), False

    def bind(self, kind: Kind, address: Address) -> None:
        if number := self.refused.get(address.port):
            raise OSError(number, os.strerror(number))
        self.bound.append(address.port)

    def release(self) -> None:
        self.released = True


def refusal(number: int, port: int = 81) -> tuple[str, list[Ports]]:
    """What is said when the third of four ports cannot be had, and the instances."""
    topology = Topology(
        "test",
        Service("user", http=Http((79, 80)), grpc=Grpc(port)),
        Service("order", http=Http((82,))),
    )
    instances = {name: Ports({port: number}) for name in ("user", "order")}
    with pytest.raises(PortError) as raised:
        bind_all(topology, instances, "127.0.0.1")
    return str(raised.value), list(instances.values())


def test_a_port_without_the_rights_to_it_is_named_with_the_way_out() -> None:
    said, _ = refusal(errno.EACCES)
    assert said == (
        "user: grpc port 81 needs rights this user lacks; declare a port from 1024 up, or run with --free-ports"
    )


def test_an_address_that_is_not_there_is_named_with_the_systems_own_words() -> None:
    said, _ = refusal(errno.EADDRNOTAVAIL)
    assert said == f"user: grpc port 81 cannot be bound on 127.0.0.1: {os.strerror(errno.EADDRNOTAVAIL)}"


def test_all_is_let_go_where_one_port_is_taken_and_no_further_one_is_tried() -> None:
    _, (user, order) = refusal(errno.EADDRINUSE)
    assert (user.bound, order.bound) == ([79, 80], [])
    assert user.released
    assert order.released


@pytest.mark.skipif(not KNOWN, reason="read from /proc")
def test_a_port_that_listens_is_held_by_its_program() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        holder = port_owner(port)
        assert holder == PortOwner(Path("/proc/self/comm").read_text().strip(), os.getpid())
        said, _ = refusal(errno.EADDRINUSE, port)
    assert said == (
        f"user: grpc port {port} is held by {holder} (pid {os.getpid()}); "
        "stop it, or run with --port-base or --free-ports"
    ).replace(f" (pid {os.getpid()}) (pid", " (pid")


@pytest.mark.skipif(not KNOWN, reason="read from /proc")
def test_a_port_of_an_outgoing_connection_is_told_apart() -> None:
    """50051 lies in the range that Linux gives outgoing connections."""
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        socket.create_connection(server.getsockname()) as client,
    ):
        port = client.getsockname()[1]
        holder = port_owner(port)
        assert holder is not None
        assert not holder.listens
        said, _ = refusal(errno.EADDRINUSE, port)
    assert f"is held by an outgoing connection of {holder.program} (pid {os.getpid()})" in said
    assert f"({port} lies in the range the system gives outgoing connections)" in said


def test_a_port_that_nobody_holds_has_no_holder() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    assert port_owner(port) is None


def test_a_program_that_has_localhost_over_ipv6_is_noticed() -> None:
    with socket.socket(socket.AF_INET6) as stranger:
        try:
            stranger.bind(("::1", 0))
        except OSError:
            assert not answers_for_localhost(1)  # a machine without IPv6 has no such program
            return
        port = stranger.getsockname()[1]
        assert not answers_for_localhost(port)
        stranger.listen()
        assert answers_for_localhost(port)
