"""Copies of one topology side by side: code that names declared ports reaches the copy that it runs in."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from tests.support.ports import free_row
from tests.support.programs import PATIENCE, Shell, Up, get

#: Both services answer with the copy that they run in; `web` asks `users` in every way and tells what each was told.
USERS = """
import os
from concurrent import futures

import grpc


async def app(scope, receive, send):
    if scope["type"] == "http":
        body = os.environ.get("COPY", "test").encode()
        headers = [(b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})


def add_to(server):
    def say(request, context):
        return os.environ.get("COPY", "test").encode()

    handler = grpc.method_handlers_generic_handler("copy.Copy", {"Say": grpc.unary_unary_rpc_method_handler(say)})
    server.add_generic_rpc_handlers((handler,))
"""

WEB = """
import asyncio, http.client, json, socket, urllib.request

import aiohttp, grpc, httpx, requests

HTTP, GRPC = {http}, {grpc}
URL_HOSTS = ["localhost", "127.0.0.1", "0.0.0.0", "[::1]", "users", socket.gethostname()]


def by_socket(family, host):
    with socket.socket(family) as connection:
        connection.settimeout({patience})
        connection.connect((host, HTTP))
        connection.sendall(b"GET / HTTP/1.0\\r\\nHost: localhost\\r\\n\\r\\n")
        return b"".join(iter(lambda: connection.recv(4096), b"")).rpartition(b"\\n")[2].decode()


def by_http_client(host):
    connection = http.client.HTTPConnection(host.strip("[]"), HTTP, timeout={patience})
    connection.request("GET", "/", headers={{"Host": "localhost"}})
    return connection.getresponse().read().decode()


def by_urllib(request):
    with urllib.request.urlopen(request, timeout={patience}) as answer:
        return answer.read().decode()


def by_grpc(target):
    with grpc.insecure_channel(target) as channel:
        return channel.unary_unary("/copy.Copy/Say")(b"", timeout={patience}).decode()


def plain():
    for host in URL_HOSTS:
        url, headers = f"http://{{host}}:{{HTTP}}/", {{"Host": "localhost"}}
        yield f"urllib {{host}}", by_urllib(urllib.request.Request(url, headers=headers))
        yield f"requests {{host}}", requests.get(url, headers=headers, timeout={patience}).text
        yield f"httpx {{host}}", httpx.get(url, headers=headers, timeout={patience}).text
        yield f"http.client {{host}}", by_http_client(host)
        yield f"grpc {{host}}", by_grpc(f"{{host}}:{{GRPC}}")
    yield "socket 127.0.0.1", by_socket(socket.AF_INET, "127.0.0.1")
    yield "socket ::1", by_socket(socket.AF_INET6, "::1")
    for scheme in ("dns:///localhost", "dns:localhost", "ipv4:127.0.0.1", "ipv6:[::1]"):
        yield f"grpc {{scheme}}", by_grpc(f"{{scheme}}:{{GRPC}}")


async def by_streams(host):
    reader, writer = await asyncio.open_connection(host, HTTP)
    writer.write(b"GET / HTTP/1.0\\r\\nHost: localhost\\r\\n\\r\\n")
    answer = await reader.read()
    writer.close()
    return answer.rpartition(b"\\n")[2].decode()


async def awaited():
    for host in URL_HOSTS:
        url, headers = f"http://{{host}}:{{HTTP}}/", {{"Host": "localhost"}}
        async with aiohttp.ClientSession() as session, session.get(url, headers=headers) as answer:
            yield f"aiohttp {{host}}", await answer.text()
        async with httpx.AsyncClient() as client:
            yield f"httpx async {{host}}", (await client.get(url, headers=headers, timeout={patience})).text
        yield f"asyncio {{host}}", await by_streams(host.strip("[]"))
        async with grpc.aio.insecure_channel(f"{{host}}:{{GRPC}}") as channel:
            yield f"grpc.aio {{host}}", (await channel.unary_unary("/copy.Copy/Say")(b"", timeout={patience})).decode()


async def app(scope, receive, send):
    if scope["type"] == "http":
        told = dict(await asyncio.to_thread(lambda: list(plain())))
        told |= {{way: who async for way, who in awaited()}}
        await send({{"type": "http.response.start", "status": 200, "headers": []}})
        await send({{"type": "http.response.body", "body": json.dumps(told).encode()}})
"""

TEST = """
import requests

def test_every_way_leads_to_this_copy(mesh):
    told = mesh.http("web").get("/").json()
    assert len(told) == {ways} and set(told.values()) == {{"test"}}, told

def test_code_of_the_test_reaches_this_copy(mesh):
    assert requests.get("http://localhost:{http}/").text == "test"
"""

#: The ways in which `web` asks.
WAYS = 6 * 5 + 2 + 4 + 6 * 4


@pytest.fixture
def project(shell: Shell) -> tuple[Shell, int]:
    """A topology on declared ports that nobody has, and the port of `web`."""
    base = free_row(3)
    web, http, grpc = range(base, base + 3)
    shell.write(
        {
            "mesh.toml": f"""
                [services.web]
                root = "web"
                http = {{ port = {web}, app = "app:app" }}

                [services.users]
                root = "users"
                http = {{ port = {http}, app = "app:app" }}
                grpc = {{ port = {grpc}, servicers = "app:add_to" }}
                """,
            "users/app.py": USERS,
            "web/app.py": WEB.format(http=http, grpc=grpc, patience=PATIENCE),
            "test_copy.py": TEST.format(ways=WAYS, http=http),
        }
    )
    return shell, web


def test_two_copies_and_a_test_run_never_reach_each_other(project: tuple[Shell, int]) -> None:
    shell, _ = project
    first = shell.up(env={"COPY": "first"})
    first.ready()
    second = shell.up("--free-ports", env={"COPY": "second"})
    third = shell.up("--free-ports", "--processes", env={"COPY": "third"})
    assert told(first) == "first"
    assert told(second) == "second"
    assert told(third) == "third"
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist"],
        cwd=shell.folder,
        env=shell.env,
        capture_output=True,
        text=True,
        timeout=PATIENCE * 2,
        check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr


def test_a_service_that_a_copy_leaves_out_is_refused_there_though_another_copy_has_it(
    project: tuple[Shell, int],
) -> None:
    shell, _ = project
    shell.up(env={"COPY": "first"}).ready()
    second = shell.up("--free-ports", "--except", "users", env={"COPY": "second"})
    assert get(second.http("web")).status_code == 500
    second.line("is declared by a service that does not run in this copy of the mesh")


def test_a_port_base_that_meets_declared_ports_is_refused(project: tuple[Shell, int]) -> None:
    shell, web = project
    refused = shell.run("up", "--port-base", str(web + 1))
    assert refused.process.returncode == 2
    assert refused.err == [
        f"mesh: web.http would get port {web + 1}, which is declared for users.http; give another port base\n"
    ]


def told(copy: Up) -> str:
    """Return the copy that answered, whichever way it was asked."""
    answers = json.loads(get(copy.http("web")).text)
    assert len(answers) == WAYS, copy.text()
    (who,) = set(answers.values())
    return str(who)
