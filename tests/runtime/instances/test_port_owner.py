"""Unavailable ports: who holds them, and what is said of it."""

from __future__ import annotations

import errno
import os
import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from mesh import Address, Grpc, Http, Service, Topology
from mesh.runtime.instances.port_owner import PortOwner, answers_for_localhost, port_owner
from mesh.runtime.instances.ports import Patience, PortError, bind_all
from mesh.runtime.messages import ServiceCommand
from mesh.serving.server_sockets import bind
from mesh.sockets import connect
from mesh.topology.model import Kind
from tests.support.supervised import ECHO, supervised

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
    """Return what is said if the third of four ports is unavailable, and the instances."""
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


@pytest.mark.skipif(not KNOWN, reason="macOS gives outgoing connections other ports")
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
    assert f"({port} lies in the range of outgoing connections; add it to net.ipv4.ip_local_reserved_ports)" in said


class Closed:
    """A connection that was closed at one end only: no process has its port any more, as in TIME_WAIT."""

    def __init__(self, port: int = 0) -> None:
        with socket.create_server(("127.0.0.1", 0)) as server, socket.socket() as client:
            client.bind(("127.0.0.1", port))
            client.connect(server.getsockname())
            self.port = client.getsockname()[1]
            self._other, _ = server.accept()
        assert self._other.recv(1) == b""

    def end(self) -> None:
        """Let the system forget it."""
        if self._other.fileno() != -1:
            self._other.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self._other.close()


@contextmanager
def closed_connection(port: int = 0) -> Iterator[Closed]:
    made = Closed(port)
    try:
        yield made
    finally:
        made.end()


@pytest.mark.skipif(not KNOWN, reason="only Linux keeps a listener from such a port")
def test_a_start_waits_for_a_port_of_a_closed_connection_and_says_so_once() -> None:
    with closed_connection() as connection:
        instance = HttpInstance()
        said: list[str] = []

        def notify(text: str) -> None:
            said.append(text)
            connection.end()

        topology = Topology("test", Service("user", http=Http((connection.port,))))
        bind_all(topology, {"user": instance}, "127.0.0.1", Patience(notify))
        assert instance.bound is not None
        assert instance.bound.getsockname()[1] == connection.port
        instance.release()
    assert said == [
        f"user: http port {connection.port} is held by a closed connection in TIME_WAIT, for up to a minute "
        f"({connection.port} lies in the range of outgoing connections; add it to net.ipv4.ip_local_reserved_ports); "
        "waiting for it"
    ]


@pytest.mark.skipif(not KNOWN, reason="only Linux keeps a listener from such a port")
def test_a_port_that_does_not_become_free_in_time_ends_the_start() -> None:
    with closed_connection() as connection:
        topology = Topology("test", Service("user", http=Http((connection.port,))))
        with pytest.raises(PortError, match="is held by a closed connection"):
            bind_all(topology, {"user": HttpInstance()}, "127.0.0.1", Patience(lambda text: None, seconds=0.3))


@pytest.mark.skipif(not KNOWN, reason="only Linux keeps a listener from such a port")
def test_a_restart_waits_for_such_a_port_without_counting_failures(tmp_path: Path) -> None:
    toml = '[services.web]\nhttp = { port = 0, app = "app:app" }\n'
    with supervised(tmp_path, {"mesh.toml": toml, "app.py": ECHO}) as project:
        port = project.supervisor.directory.address("web", "http").port
        project.supervisor.post(ServiceCommand("web", "stop"))
        project.change("web", "stopped")
        with closed_connection(port):
            project.supervisor.post(ServiceCommand("web", "start"))
            failed = project.change("web", "failed", "is held by a closed connection in TIME_WAIT")
            assert (failed.reason or "").endswith("; waiting for it")
        project.change("web", "ready", since=project.entries.index(failed))
        assert project.get("web", "/here").text == "/here"


def test_a_connection_of_ours_keeps_no_listener_from_its_port() -> None:
    # The system may have given the port to a connection of another test as well: then another one is tried.
    assert any(is_bindable_after_a_connection() for _ in range(10))


def is_bindable_after_a_connection() -> bool:
    with socket.create_server(("127.0.0.1", 0)) as server:
        host, port = server.getsockname()
        client = connect(host, port, 30)
        port = client.getsockname()[1]
        other, _ = server.accept()
    with other:
        client.close()
        assert other.recv(1) == b""
        if not is_free(port):
            return False
    return is_free(port)


def is_free(port: int) -> bool:
    try:
        bind(Address("127.0.0.1", port)).close()
    except OSError:
        return False
    return True


class HttpInstance:
    bound: socket.socket | None = None

    def bind(self, kind: Kind, address: Address) -> None:
        self.bound = bind(address)

    def release(self) -> None:
        if self.bound is not None:
            self.bound.close()


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
