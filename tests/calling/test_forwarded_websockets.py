"""WebSockets through `mesh.proxy`, and to a server that a program makes itself: messages, codes, subprotocols."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosedError, ConnectionClosedOK, InvalidStatus
from websockets.sync.client import connect
from websockets.typing import Subprotocol

from tests.support.supervised import PATIENCE, Project, gate, supervised

ECHO = """
    from starlette.applications import Starlette
    from starlette.responses import PlainTextResponse
    from starlette.routing import WebSocketRoute
    from tests.support.supervised import gate

    async def echo(socket):
        if socket.query_params.get("refuse"):
            await socket.send_denial_response(PlainTextResponse("no", 418))
            return
        await socket.accept("chat" if "chat" in socket.scope["subprotocols"] else None)
        while True:
            message = await socket.receive()
            if message["type"] == "websocket.disconnect":
                gate(f"echo left with {message['code']}").set()
                return
            match message.get("text"):
                case None:
                    await socket.send_bytes(message["bytes"] + b"!")
                case "close":
                    await socket.close(4001, "enough")
                case "fail":
                    raise RuntimeError("broken")
                case text:
                    await socket.send_text(f"{text} {socket.url.path}?{socket.url.query} {socket.headers['x-word']}")

    app = Starlette(routes=[WebSocketRoute("/echo", echo)])
"""
OWN = """
    from aiohttp import web
    from tests.support.supervised import gate

    async def echo(request):
        if request.query.get("refuse"):
            raise Refused()
        socket = web.WebSocketResponse(protocols=["chat"])
        await socket.prepare(request)
        async for message in socket:
            if message.type == web.WSMsgType.BINARY:
                await socket.send_bytes(message.data + b"!")
            elif message.data == "close":
                await socket.close(code=4001, message=b"enough")
            elif message.data == "fail":
                request.transport.abort()
            else:
                await socket.send_str(f"{message.data} {request.path_qs} {request.headers['x-word']}")
        gate(f"own left with {socket.close_code}").set()
        return socket

    class Refused(web.HTTPClientError):
        status_code = 418

    app = web.Application()
    app.add_routes([web.get("/echo", echo)])
    web.run_app(app, port=8080, print=None)
"""
FILES = {
    "echo.py": ECHO,
    "own.py": OWN,
    "front.py": """
        from starlette.applications import Starlette
        from starlette.routing import Mount
        from mesh import proxy

        app = Starlette(routes=[Mount("/to", proxy("echo", strip="/to"))])
    """,
    "mesh.toml": """
        [services.echo]
        http = {port = 0, app = "echo:app"}
        [services.front]
        http = {port = 0, app = "front:app"}
        [services.own]
        run = "own.py"
        http = 8080
    """,
}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    with supervised(tmp_path_factory.mktemp("sockets"), FILES) as project:
        yield project


WAYS = [("front", "/to/echo", "echo"), ("own", "/echo", "own")]


def opened(project: Project, service: str, target: str, **options: Any) -> Any:
    address = project.supervisor.snapshot[service].http[0]
    return connect(f"ws://{address}{target}", additional_headers={"X-Word": "one"}, proxy=None, **options)


@pytest.mark.parametrize(("service", "path", "behind"), WAYS)
def test_text_bytes_and_the_chosen_subprotocol_pass_both_ways(
    project: Project, service: str, path: str, behind: str
) -> None:
    with opened(project, service, f"{path}?a=%20b", subprotocols=[Subprotocol("old"), Subprotocol("chat")]) as socket:
        assert socket.subprotocol == "chat"
        socket.send("hi")
        assert socket.recv() == "hi /echo?a=%20b one"
        socket.send(b"x" * 100_000)
        assert socket.recv() == b"x" * 100_000 + b"!"
    assert gate(f"{behind} left with 1000").wait(PATIENCE)


@pytest.mark.parametrize(("service", "path", "behind"), WAYS)
def test_a_close_of_the_server_keeps_its_code_and_reason(
    project: Project, service: str, path: str, behind: str
) -> None:
    with opened(project, service, path) as socket:
        socket.send("close")
        with pytest.raises(ConnectionClosedError) as closed:
            socket.recv()
    assert closed.value.rcvd is not None
    assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (4001, "enough")


@pytest.mark.parametrize(("service", "path", "behind"), WAYS)
def test_a_server_that_breaks_off_is_an_error(project: Project, service: str, path: str, behind: str) -> None:
    with opened(project, service, path) as socket:
        socket.send("fail")
        with pytest.raises(ConnectionClosedError) as closed:
            socket.recv()
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1011


@pytest.mark.parametrize(("service", "path", "behind"), WAYS)
def test_a_client_that_closes_with_a_code_is_heard(project: Project, service: str, path: str, behind: str) -> None:
    with opened(project, service, path) as socket:
        socket.send("hi")
        socket.recv()
        socket.close(4002, "bye")
        with pytest.raises((ConnectionClosedOK, ConnectionClosedError)):
            socket.recv()
    assert gate(f"{behind} left with 4002").wait(PATIENCE)


@pytest.mark.parametrize(("service", "path", "behind"), WAYS)
def test_a_handshake_that_is_refused_keeps_its_status(project: Project, service: str, path: str, behind: str) -> None:
    with pytest.raises(InvalidStatus) as refused:
        opened(project, service, f"{path}?refuse=1")
    assert refused.value.response.status_code == 418
