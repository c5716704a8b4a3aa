"""`mesh call`: what is answered, and what is said of a call that can not be made."""

from __future__ import annotations

import io
import socket
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import pytest

from mesh.pytest_plugin import Mesh
from tests.support.programs import RunMesh

METHODS = "user.UserService.ListUsers, user.UserService.GetUser, user.UserService.CreateUser"


@pytest.fixture
def users(mesh: Mesh) -> str:
    """Return the gRPC address of the store's user service."""
    return str(mesh.address("user-service.grpc"))


@pytest.mark.parametrize("method", ["GetUser", "user.UserService.GetUser", "user.UserService/GetUser"])
def test_a_method_is_called_by_any_of_its_names(mesh_command: RunMesh, users: str, method: str) -> None:
    ran = mesh_command("call", users, method, '{"id": 1}')
    assert (ran.status, ran.err) == (0, "")
    assert ran.out == '{"id":1,"name":"Ada Lovelace","email":"ada@example.com"}\n'


def test_the_request_is_empty_unless_given_and_read_from_stdin_for_a_dash(
    mesh_command: RunMesh, users: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert mesh_command("call", users, "ListUsers").out.startswith('{"users":[{"id":1,')
    monkeypatch.setattr(sys, "stdin", io.StringIO('{"id": 2}'))
    assert mesh_command("call", users, "GetUser", "-").out.startswith('{"id":2,')


@pytest.mark.parametrize(
    ("request_", "said"),
    [
        ('{"id":', "GetUser: the body is not JSON: "),
        ("[1]", "GetUser: a message is a JSON object of id, not [1]"),
        ('"x"', "GetUser: a message is a JSON object of id, not 'x'"),
        ('{"idd": 1}', 'GetUser: Message type "user.GetUserRequest" has no field named "idd"'),
        ('{"id": "x"}', "GetUser: Failed to parse id field: "),
        ('{"id": 4294967296}', "GetUser: Failed to parse id field: "),
    ],
)
def test_a_request_that_does_not_fit_is_the_users_mistake(
    mesh_command: RunMesh, users: str, request_: str, said: str
) -> None:
    ran = mesh_command("call", users, "GetUser", request_)
    assert (ran.status, ran.out) == (2, "")
    assert ran.err.startswith(f"mesh: {said}")
    assert ran.err.count("\n") == 1


def test_an_unknown_method_is_told_the_nearest_and_all_there_are(mesh_command: RunMesh, users: str) -> None:
    ran = mesh_command("call", users, "GetUsr")
    assert ran.status == 2
    assert ran.err.startswith(f"mesh: {users} has no method 'GetUsr'; did you mean 'GetUser'? known methods: {METHODS}")


def test_an_answer_that_is_an_error_is_shown_with_its_code(mesh_command: RunMesh, users: str) -> None:
    ran = mesh_command("call", users, "GetUser", '{"id": 99}')
    assert (ran.status, ran.out, ran.err) == (1, "", "mesh: NOT_FOUND: user 99 does not exist\n")


def test_a_closed_port_is_told_with_the_way_out(mesh_command: RunMesh) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
    ran = mesh_command("call", address, "GetUser")
    assert (ran.status, ran.err) == (1, f"mesh: {address}: nothing listens at {address}; start it with `mesh up`\n")


def test_a_port_that_speaks_http_only_is_told_as_such(mesh_command: RunMesh, mesh: Mesh) -> None:
    address = str(mesh.address("user-service.http"))
    ran = mesh_command("call", address, "GetUser")
    assert (ran.status, ran.err) == (1, f"mesh: {address}: what listens at {address} does not speak gRPC\n")


def test_no_answer_in_time_is_told_with_the_time(mesh_command: RunMesh) -> None:
    """The port accepts connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
        ran = mesh_command("call", address, "GetUser", "--timeout", "0.5")
    assert ran.status == 1
    assert ran.err == f"mesh: {address}: no answer from {address} within 0.5 s; allow more with --timeout\n"


@pytest.fixture
def bare() -> Iterator[str]:
    """A gRPC server without reflection."""
    server = grpc.server(ThreadPoolExecutor(1))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield f"127.0.0.1:{port}"
    stopped: threading.Event = server.stop(None)
    stopped.wait()


def test_a_server_without_reflection_is_told(mesh_command: RunMesh, bare: str) -> None:
    ran = mesh_command("call", bare, "GetUser")
    assert ran.status == 1
    assert ran.err == (
        f"mesh: {bare} has no reflection service to learn its methods from, and no .proto of the topology describes "
        "them\n"
    )


PROTO = """\
syntax = "proto3";
package talk;
service Talk { rpc Say(Word) returns (Word); }
message Word { string text = 1; }
"""


def test_the_protos_of_the_topology_describe_a_server_without_reflection(
    mesh_command: RunMesh, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def say(request: bytes, context: object) -> bytes:
        assert request == b"\n\x02hi"
        return b"\n\x03hi!"

    server = grpc.server(ThreadPoolExecutor(1))
    methods: Any = {"Say": grpc.unary_unary_rpc_method_handler(say)}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("talk.Talk", methods),))
    port = server.add_insecure_port("127.0.0.1:0")
    (tmp_path / "talk.proto").write_text(PROTO)
    table = f'[services.talk]\ncommand = "talk"\ngrpc = {port}\nprotos = ["."]\n'
    (tmp_path / "mesh.toml").write_text(table)
    monkeypatch.chdir(tmp_path)
    server.start()
    try:
        ran = mesh_command("call", "talk", "Say", '{"text": "hi"}')
        assert (ran.status, ran.out, ran.err) == (0, '{"text":"hi!"}\n', "")
        ran = mesh_command("call", "talk", "Ask", '{"text": "hi"}')
        assert (ran.status, "known methods: talk.Talk.Say" in ran.err) == (2, True)
    finally:
        server.stop(None).wait()
