"""Descriptors: how many there may be, and what is done when they run out."""

from __future__ import annotations

import contextlib
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import psutil
import pytest
import requests

from mesh.descriptors import raise_limit
from tests.support.programs import MESH, PATIENCE, Shell, Up, get

SAID = "files and sockets that this process may open are in use: idle connections are closed, and further ones refused"


def limited(shell: Shell, limits: str, *options: str) -> Up:
    """`mesh up` in a shell with these limits."""
    words = ["/bin/sh", "-c", f'{limits}; exec "$@"', "sh", *MESH, "up", "--json", "--quiet", *options]
    started = Up(words, shell.folder, shell.env)
    shell.programs.append(started)
    return started


@contextmanager
def crowd(address: str, count: int, first: bytes = b"") -> Iterator[None]:
    """Open so many connections to the address, each of which has sent only this."""
    raise_limit()
    host, _, port = address.removeprefix("http://").rpartition(":")
    with contextlib.ExitStack() as opened:
        for _ in range(count):
            connection = opened.enter_context(socket.create_connection((host, int(port)), timeout=PATIENCE))
            with contextlib.suppress(ConnectionError):  # refused already
                connection.sendall(first)
        yield


def order(mesh: Up) -> int:
    url = f"{mesh.http('gateway')}/api/orders"
    made = requests.post(url, json={"user_id": 1, "product_id": 1, "quantity": 1}, timeout=PATIENCE)
    return made.status_code


def orders(mesh: Up, count: int) -> list[int]:
    """Return the statuses of orders until so many were taken, of a hundred at most."""
    found: list[int] = []
    while found.count(201) < count and len(found) < 100:
        found.append(order(mesh))
    return found


def said(mesh: Up) -> list[str]:
    return [each["service"] for each in mesh.events() if each["event"] == "line" and SAID in each["text"]]


# With few descriptors a call may come before enough of the idle connections have been closed.
@pytest.mark.parametrize(("limit", "meanwhile"), [(96, {201, 503}), (256, {201, 503}), (1024, {201})])
def test_with_more_idle_connections_than_descriptors_calls_are_answered(
    shell: Shell, limit: int, meanwhile: set[int]
) -> None:
    mesh = limited(shell, f"ulimit -n {limit}", "--free-ports", "--memory")
    with crowd(mesh.http("gateway"), 900), crowd(mesh.grpc("user-service"), 300):
        statuses = orders(mesh, 3)
        assert statuses.count(201) == 3
        assert set(statuses) <= meanwhile
        mesh.wait_for(lambda: said(mesh))
    assert orders(mesh, 1)[-1] == 201
    assert len(said(mesh)) == len(set(said(mesh)))  # once for each service
    assert mesh.end(signal.SIGTERM) == 143
    assert "Traceback" not in mesh.text()


def test_connections_in_use_are_not_closed_and_new_ones_are_refused_until_some_leave(shell: Shell) -> None:
    mesh = limited(shell, "ulimit -n 64", "--free-ports", "--memory", "--only", "user-service")
    url = f"{mesh.http('user-service')}/users/1"
    with crowd(mesh.http("user-service"), 200, b"GET /users/1 HTTP/1.1\r\n"):
        refused = get(url)
        assert (refused.status_code, refused.headers["connection"]) == (503, "close")
        assert refused.json() == {"code": 14, "message": "too many connections", "details": []}
        assert share_of_a_processor(mesh) < 0.5
    assert answered(url) == 200
    assert said(mesh) == ["user-service"]
    assert mesh.end(signal.SIGTERM) == 143


def share_of_a_processor(mesh: Up) -> float:
    """Return what mesh uses of one in a second: a server that tries to accept without an end uses all it can get."""
    process = psutil.Process(mesh.pid)
    before = process.cpu_times()
    threading.Event().wait(1)
    after = process.cpu_times()
    return after.user + after.system - before.user - before.system


def answered(url: str) -> int:
    """Return the first status that is not the refusal: the server learns one by one that connections have left."""
    for _ in range(1000):
        if (status := get(url).status_code) != 503:
            return status
    raise AssertionError("refused for ever")


@pytest.mark.parametrize("limit", [24, 40, 64])
def test_a_limit_that_is_too_low_is_told_before_anything_starts(shell: Shell, limit: int) -> None:
    mesh = limited(shell, f"ulimit -n {limit}", "--free-ports", "--memory")
    assert mesh.end() == 1
    assert mesh.out == []
    (line,) = mesh.err
    assert line.startswith(f"mesh: this shell lets a program open {limit} files and sockets; 4 services and their ")
    assert line.endswith(": raise the limit with `ulimit -n 1024`\n")


def test_the_limit_is_raised_as_far_as_it_may_be(shell: Shell) -> None:
    shell.write({"mesh.toml": '[services.one]\ncommand = "ulimit -n; exec sleep 1000"\n'})
    mesh = limited(shell, "ulimit -n 2000; ulimit -S -n 200")
    assert mesh.event("line", service="one")["text"] == "2000"


NONE_LEFT = """
import os, resource
from mesh.descriptors import check_free
from mesh.errors import StatusError

resource.setrlimit(resource.RLIMIT_NOFILE, (os.dup(0) + 4, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
try:
    check_free(4)
except StatusError as error:
    print(error.http_status, error)
check_free(3)
print([os.dup(0) for _ in range(3)])
"""


def test_where_no_descriptor_is_left_that_is_said_and_none_is_lost() -> None:
    out = subprocess.run([sys.executable, "-c", NONE_LEFT], stdin=subprocess.DEVNULL, capture_output=True, text=True)
    assert (out.stderr, out.stdout) == (
        "",
        "503 UNAVAILABLE: all of the 7 files and sockets that this process may open are in use\n[4, 5, 6]\n",
    )
