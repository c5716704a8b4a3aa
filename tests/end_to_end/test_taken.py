"""A port or a project that is taken already, and the end of its owner."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.support.ports import free_row
from tests.support.programs import Shell, Up, get

KNOWN_BY_PORT = Path("/proc/net/tcp").exists()


def is_open(address: str) -> bool:
    host, _, port = address.removeprefix("http://").rpartition(":")
    with socket.socket() as probe:
        return probe.connect_ex((host, int(port))) == 0


def declared(shell: Shell, port: int) -> None:
    app = "async def app(scope, receive, send): ..."
    shell.write({"mesh.toml": f'[services.one]\nhttp = {{port = {port}, app = "one:app"}}', "one.py": app})


def test_a_second_mesh_of_the_project_is_told_of_the_first(shell: Shell) -> None:
    declared(shell, free_row(1))
    first = shell.up()
    url = first.ready()["url"]
    second = shell.run("up")
    assert second.process.returncode == 1
    assert second.text() == (
        f"mesh: already running: one (pid {first.pid}, {url}); "
        "end it with `mesh down`, or run a second copy with --free-ports\n"
    )
    assert get(first.http("one")).status_code == 500  # the first is still there
    assert shell.up("--free-ports").ready()["services"][0]["state"] == "ready"


def test_of_many_that_start_at_the_same_instant_exactly_one_wins(shell: Shell) -> None:
    declared(shell, free_row(1))
    started = [shell.up() for _ in range(4)]
    winners = [each for each in started if each.wait_for(partial(ended_or_ready, each)) == "ready"]
    assert len(winners) == 1
    losers = [each for each in started if each is not winners[0]]
    assert [each.end() for each in losers] == [1, 1, 1]
    assert all(f"mesh: already running: one (pid {winners[0].pid}, " in each.text() for each in losers)
    ps = json.loads("".join(shell.run("ps", "--json").out))
    assert [each["pid"] for each in ps] == [winners[0].pid]


def ended_or_ready(mesh: Up) -> str | None:
    if any(each["event"] == "ready" for each in mesh.events()):
        return "ready"
    return "ended" if mesh.err else None


def test_a_port_held_by_another_program_ends_the_start_with_its_name_and_nothing_left_open(shell: Shell) -> None:
    base = free_row(7)
    with socket.create_server(("127.0.0.1", base + 5)):
        refused = shell.run("up", "--port-base", str(base))
    assert refused.process.returncode == 1
    assert refused.out == []
    program = Path("/proc/self/comm").read_text().strip() if KNOWN_BY_PORT else ""
    assert refused.text().startswith(f"mesh: product-service: grpc port {base + 5} is held by {program}")
    assert f"(pid {os.getpid()})" in refused.text() or not KNOWN_BY_PORT
    assert refused.text().endswith("; stop it, or run with --port-base or --free-ports\n")
    assert not any(is_open(f"127.0.0.1:{port}") for port in range(base, base + 7))
    assert list((shell.folder / ".mesh" / "run").iterdir()) == []


def test_another_project_is_told_which_mesh_has_its_port(shell: Shell) -> None:
    """gRPC too: by default two gRPC servers share a port without an error."""
    base = str(free_row(7))
    first = shell.up("--port-base", base, "--memory", "--only", "user-service.grpc")
    first.ready()
    (shell.folder / "other").mkdir()
    second = shell.run(
        "up", "--port-base", base, "--memory", "--only", "user-service.grpc", folder=shell.folder / "other"
    )
    assert second.process.returncode == 1
    assert second.text() == (
        f"mesh: user-service: grpc port {int(base) + 3} is held by the mesh of another project, {shell.folder} "
        f"(pid {first.pid}); end it with `mesh down` there, or run this one with --port-base or --free-ports\n"
    )


def test_a_port_of_another_projects_service_in_a_process_names_that_project_too(shell: Shell) -> None:
    port = free_row(1)
    app = "async def app(scope, receive, send): ..."
    toml = f'[services.one]\nisolation = "process"\nhttp = {{port = {port}, app = "one:app"}}'
    other = f'[services.two]\nhttp = {{port = {port}, app = "one:app"}}'
    shell.write({"a/mesh.toml": toml, "a/one.py": app, "b/mesh.toml": other, "b/one.py": app})
    first = shell.up("a/mesh.toml")
    first.ready()
    refused = shell.run("up", folder=shell.folder / "b")
    assert refused.process.returncode == 1
    assert f"two: http port {port} is held by the mesh of another project, {shell.folder / 'a'} (pid " in refused.text()


@pytest.mark.skipif(not Path("/proc/net/tcp").exists(), reason="only Linux keeps a listener from such a port")
def test_a_start_that_waits_for_a_port_ends_at_ctrl_c(shell: Shell) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as client:
        port = client.getsockname()[1]
        other, _ = server.accept()
    with other:
        declared(shell, port)
        waiting = shell.start("up")
        assert waiting.line("; waiting for it").startswith(
            f"mesh: one: http port {port} is held by a closed connection"
        )
        assert waiting.end(signal.SIGINT) == 130


def test_down_ends_the_mesh_with_status_0_and_says_which(shell: Shell) -> None:
    mesh = shell.up("--free-ports", "--memory", "--only", "user-service")
    mesh.ready()
    down = shell.run("down")
    assert (down.process.returncode, down.text()) == (0, f"stopped pid {mesh.pid}\n")
    assert mesh.end() == 0
    again = shell.run("down")
    assert (again.process.returncode, again.text()) == (1, "mesh: no mesh of this project is running\n")


def test_down_never_ends_a_program_that_has_the_pid_of_a_mesh_that_is_gone(shell: Shell) -> None:
    mesh = shell.up("--free-ports", "--memory", "--only", "user-service")
    mesh.ready()
    (note,) = (shell.folder / ".mesh" / "run").glob("*.json")
    told: dict[str, Any] = json.loads(note.read_text())
    mesh.end(signal.SIGKILL)
    bystander = subprocess.Popen(["sleep", "60"])
    try:
        note.write_text(json.dumps(told | {"pid": bystander.pid}))
        assert shell.run("down").process.returncode == 1
        assert bystander.poll() is None
        assert not note.exists()
    finally:
        bystander.kill()
        bystander.wait()
