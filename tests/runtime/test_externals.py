"""Names of what mesh does not run, in services' code."""

from __future__ import annotations

import socketserver
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.supervised import supervised


class Redis(socketserver.StreamRequestHandler):
    """Answers each command of the protocol with PONG, as far as these clients need it."""

    def handle(self) -> None:
        while line := self.rfile.readline():
            if line.startswith(b"*"):
                words = [self.rfile.read(int(self.rfile.readline()[1:]) + 2) for _ in range(int(line[1:]))]
                self.wfile.write(b"+PONG\r\n" if words[0].startswith(b"PING") else b"-ERR unknown command\r\n")


@pytest.fixture
def port() -> Iterator[int]:
    """The port of something that runs outside of mesh, and speaks Redis's protocol."""
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Redis) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_address[1]
        server.shutdown()


CODE = """\
import asyncio, socket

import redis, redis.asyncio
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route


def by_socket(host, port):
    with socket.create_connection((host, port)) as connection:
        connection.sendall(b"*1\\r\\n$4\\r\\nPING\\r\\n")
        return connection.recv(100).decode().strip()


async def by_asyncio(host, port):
    reader, writer = await asyncio.open_connection(host, port)
    writer.write(b"*1\\r\\n$4\\r\\nPING\\r\\n")
    answer = await reader.readline()
    writer.close()
    return answer.decode().strip()


async def page(request):
    found = {}
    for host, port in (("cache", 6379), ("any", 1), ("any", 6379), ("CACHE", 6379)):
        found[f"socket {host} {port}"] = await asyncio.to_thread(by_socket, host, port)
        found[f"asyncio {host} {port}"] = await by_asyncio(host, port)
    client = redis.Redis("cache", protocol=2)
    found["redis"] = await asyncio.to_thread(client.ping)
    client.close()
    later = redis.asyncio.from_url("redis://cache:6379/0", protocol=2)
    found["redis.asyncio"] = await later.ping()
    await later.aclose()
    return JSONResponse(found)


app = Starlette(routes=[Route("/", page)])
"""


def test_a_name_leads_to_what_runs_elsewhere(tmp_path: Path, port: int) -> None:
    toml = f"""\
        [externals]
        "cache:6379" = "localhost:{port}"
        any = "127.0.0.1:{port}"

        [services.web]
        http = {{ port = 0, app = "web:app" }}
        """
    with supervised(tmp_path, {"mesh.toml": toml, "web.py": CODE}) as project:
        answers = project.get("web", "/").json()
    assert answers == {
        **{f"{by} {to}": "+PONG" for by in ("socket", "asyncio") for to in ("cache 6379", "any 1", "any 6379")},
        "socket CACHE 6379": "+PONG",
        "asyncio CACHE 6379": "+PONG",
        "redis": True,
        "redis.asyncio": True,
    }


def test_an_external_on_this_machine_takes_no_port_from_the_services(tmp_path: Path, port: int) -> None:
    """A port that is somebody else's stays one, though another host has the same."""
    toml = f"""\
        [externals]
        far = "192.0.2.1:{port}"

        [services.web]
        http = {{ port = 0, app = "web:app" }}
        """
    code = CODE.replace('("cache", 6379), ("any", 1), ("any", 6379), ("CACHE", 6379)', f'("localhost", {port}),')
    code = code[: code.index("    client = redis")] + code[code.index("    return JSONResponse(found)") :]
    with supervised(tmp_path, {"mesh.toml": toml, "web.py": code}) as project:
        answers = project.get("web", "/").json()
    assert answers == {f"socket localhost {port}": "+PONG", f"asyncio localhost {port}": "+PONG"}
