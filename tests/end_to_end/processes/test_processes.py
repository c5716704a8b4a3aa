"""`mesh up` as a process: which ports it opens, and where it finds what it does not run."""

from __future__ import annotations

import json
import re
import socket
from signal import SIGCONT

import psutil
import pytest
import requests

from tests.support.ports import free_row
from tests.support.programs import Shell, Up, get, suspend

ORDER = {"user_id": 1, "product_id": 1, "quantity": 2}


def ask_for_an_order(mesh: Up) -> requests.Response:
    return requests.post(f"{mesh.http('order-service')}/orders", json=ORDER, timeout=30)


def listening(pid: int) -> set[int]:
    """Return the TCP ports that the process listens on."""
    found = psutil.Process(pid).net_connections("tcp")
    return {each.laddr.port for each in found if each.status == psutil.CONN_LISTEN}


def port_of(address: str) -> int:
    return int(address.rpartition(":")[2])


def is_open(address: str) -> bool:
    host, _, port = address.removeprefix("http://").rpartition(":")
    with socket.socket() as probe:
        return probe.connect_ex((host, int(port))) == 0


def test_only_a_service_opens_its_two_ports_and_nothing_else(shell: Shell) -> None:
    mesh = shell.up("--free-ports", "--memory", "--only", "user-service")
    control = port_of(mesh.ready()["url"])
    wanted = {port_of(mesh.http("user-service")), port_of(mesh.grpc("user-service")), control}
    assert listening(mesh.pid) == wanted
    assert len(wanted) == 3


def test_except_a_listener_is_a_real_outage_of_that_port(shell: Shell) -> None:
    base = free_row(7)
    mesh = shell.up("--port-base", str(base), "--memory", "--except", "user-service.grpc")
    answer = ask_for_an_order(mesh)
    assert answer.status_code == 201
    ways = dict(re.findall(r'([a-z-]+);desc="(\w+)"', answer.headers["server-timing"]))
    assert ways == {"user-service": "http", "product-service": "grpc"}
    assert mesh.service("user-service")["grpc"] is None
    assert not is_open(f"127.0.0.1:{base + 3}")


def test_the_port_base_is_counted_up_in_declared_order(shell: Shell) -> None:
    base = free_row(7)
    ready = shell.up("--port-base", str(base), "--memory").ready()
    here = "http://127.0.0.1:"
    assert {each["name"]: (each["http"], each["grpc"]) for each in ready["services"]} == {
        "gateway": ([f"{here}{base}", f"{here}{base + 1}"], None),
        "user-service": ([f"{here}{base + 2}"], f"127.0.0.1:{base + 3}"),
        "product-service": ([f"{here}{base + 4}"], f"127.0.0.1:{base + 5}"),
        "order-service": ([f"{here}{base + 6}"], None),
    }


def test_two_terminals_share_one_topology(shell: Shell) -> None:
    base = str(free_row(7))
    rest = shell.up("--port-base", base, "--memory", "--except", "user-service")
    users = shell.up("--port-base", base, "--memory", "--only", "user-service")
    users.ready()
    assert ask_for_an_order(rest).status_code == 201
    assert users.event("span", method="/user.UserService/GetUser")["status"] == "OK"
    listed = json.loads("".join(shell.run("ps", "--json").out))
    assert {each["pid"] for each in listed} == {rest.pid, users.pid}
    assert "user-service" not in [each["name"] for each in rest.ready()["services"]]


def test_a_neighbour_that_is_suspended_costs_its_callers_their_deadline_and_others_nothing(shell: Shell) -> None:
    base = str(free_row(7))
    users = shell.up("--port-base", base, "--memory", "--only", "user-service")
    users.ready()
    rest = shell.up("--port-base", base, "--memory", "--except", "user-service")
    gateway = rest.http("gateway")
    assert get(f"{gateway}/api/grpc/users/1").json()["name"] == "Ada Lovelace"
    suspend(users.pid)
    try:
        for path in ("/api/grpc/users/1", "/api/users/1"):
            answer = requests.get(gateway + path, headers={"grpc-timeout": "500m"}, timeout=30)
            assert (answer.status_code, answer.json()["code"]) == (504, 4)
            assert get(f"{gateway}/api/grpc/products/1").json()["name"] == "Laptop"
    finally:
        users.send(SIGCONT)
    answer = get(f"{gateway}/api/grpc/users/1")
    assert answer.json() == {"id": 1, "name": "Ada Lovelace", "email": "ada@example.com"}, users.text()


def test_the_environment_says_where_a_service_is_that_does_not_run_here(shell: Shell) -> None:
    users = shell.up("--free-ports", "--memory", "--only", "user-service")
    told: dict[str, str | None] = {
        "MESH_USER_SERVICE_HTTP": users.http("user-service").removeprefix("http://"),
        "MESH_USER_SERVICE_GRPC": users.grpc("user-service"),
    }
    rest = shell.up("--free-ports", "--memory", "--except", "user-service", env=told)
    assert ask_for_an_order(rest).status_code == 201
    answer = get(f"{rest.http('gateway')}/api/users/1")
    assert answer.json()["name"] == "Ada Lovelace"
    users.event("span", method="GET", target="/users/1")
    seen = [each["method"] for each in users.events() if each["event"] == "span"]
    assert seen == ["/user.UserService/GetUser", "GET"]


def test_two_terminals_can_share_one_service(shell: Shell) -> None:
    """Its two listeners are two meshes: what one of them has closed, the other may open."""
    base = str(free_row(7))
    first = shell.up("--port-base", base, "--only", "user-service.http")
    made = requests.post(f"{first.http('user-service')}/users", json={"name": "Eve", "email": "e@x.org"}, timeout=30)
    second = shell.up("--port-base", base, "--only", "user-service.grpc")
    answer = shell.run("call", second.grpc("user-service"), "GetUser", json.dumps({"id": made.json()["id"]}))
    assert json.loads("".join(answer.out))["name"] == "Eve"


@pytest.mark.parametrize("host", ["localhost", "::1", "0.0.0.0"])
def test_the_printed_addresses_are_reached_whatever_the_host(shell: Shell, host: str) -> None:
    if host == "::1" and not has_ipv6():
        pytest.skip("no IPv6 on this machine")
    mesh = shell.up("--free-ports", "--memory", "--only", "user-service", "--host", host)
    assert get(f"{mesh.http('user-service')}/users/1").status_code == 200
    assert shell.run("call", mesh.grpc("user-service"), "GetUser", '{"id":1}').process.returncode == 0
    warning = "mesh: listening on 0.0.0.0: anyone who can reach this machine can use these services\n"
    assert mesh.err == ([warning] if host == "0.0.0.0" else [])
    assert mesh.ready()["url"].startswith("http://127.0.0.1:")


def has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


@pytest.mark.parametrize("host", ["nowhere.invalid", "192.0.2.1"])
def test_a_host_that_is_not_this_machine_is_refused_in_one_sentence(shell: Shell, host: str) -> None:
    refused = shell.run("up", "--free-ports", "--only", "user-service", "--host", host)
    assert refused.process.returncode == 1
    assert len(refused.err) == 1
    assert f"user-service: http port 0 cannot be bound on {host}: " in refused.text()
