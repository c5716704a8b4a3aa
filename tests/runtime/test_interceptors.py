"""Declared interceptors around the methods of servicers, and the compression of their answers."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import grpc
import pytest

from tests.support.supervised import Project, supervised

PROTO = """\
syntax = "proto3";
package echo;
import "google/api/annotations.proto";
service Echo {
  rpc Say(Text) returns (Text) { option (google.api.http) = { get: "/say/{text}" }; }
  rpc Count(Text) returns (stream Text);
}
message Text { string text = 1; }
"""

PLAIN = """\
import echo_pb2, echo_pb2_grpc, grpc


class Echo(echo_pb2_grpc.EchoServicer):
    def Say(self, request, context):
        return echo_pb2.Text(text=f"said {request.text}")

    def Count(self, request, context):
        for number in range(2):
            yield echo_pb2.Text(text=f"{request.text}{number}")


class Outer(grpc.ServerInterceptor):
    def intercept_service(self, follow, details):
        if ("token", "wrong") in details.invocation_metadata:
            return grpc.unary_unary_rpc_method_handler(
                lambda request, context: context.abort(grpc.StatusCode.UNAUTHENTICATED, "no token"))
        print("outer", details.method)
        return follow(details)


def inner():
    return Inner("made")


class Inner(grpc.ServerInterceptor):
    def __init__(self, how):
        self.how = how

    def intercept_service(self, follow, details):
        print("inner", self.how)
        return follow(details)
"""

LATER = """\
import echo_pb2, echo_pb2_grpc, grpc


class Echo(echo_pb2_grpc.EchoServicer):
    async def Say(self, request, context):
        return echo_pb2.Text(text=f"said {request.text}")

    async def Count(self, request, context):
        for number in range(2):
            yield echo_pb2.Text(text=f"{request.text}{number}")


class Outer(grpc.aio.ServerInterceptor):
    async def intercept_service(self, follow, details):
        if ("token", "wrong") in details.invocation_metadata:
            async def refused(request, context):
                await context.abort(grpc.StatusCode.UNAUTHENTICATED, "no token")
            return grpc.unary_unary_rpc_method_handler(refused)
        print("outer", details.method)
        return await follow(details)


class Inner(grpc.aio.ServerInterceptor):
    async def intercept_service(self, follow, details):
        print("inner made")
        return await follow(details)


inner = Inner()
"""

TOML = """\
[mesh]
protos = ["proto"]

[services.echo]
http = 0
grpc = { port = 0, servicers = ["server:Echo"], interceptors = ["server:Outer", "server:inner"], compression = "gzip" }
"""


def call(project: Project, method: str, text: str, **options: Any) -> list[str]:
    """Return the texts of the answers; messages are written by hand, with their one field."""
    address = project.supervisor.directory.address("echo", "grpc")
    with grpc.insecure_channel(str(address)) as channel:
        stub: Any = channel.unary_stream(f"/echo.Echo/{method}")
        answers = stub(b"\x0a" + bytes([len(text)]) + text.encode(), timeout=30, **options)
        return [answer[2:].decode() for answer in answers]


@pytest.mark.parametrize("code", [PLAIN, LATER], ids=["plain", "coroutines"])
def test_interceptors_are_around_every_method_over_grpc_and_rest(tmp_path: Path, code: str) -> None:
    with supervised(tmp_path, {"mesh.toml": TOML, "server.py": code, "proto/echo.proto": PROTO}) as project:
        since = len(project.entries)
        assert call(project, "Say", "a") == ["said a"]
        project.line("echo", "outer /echo.Echo/Say", since)
        project.line("echo", "inner made", since)
        assert call(project, "Count", "b") == ["b0", "b1"]
        project.line("echo", "outer /echo.Echo/Count", since)
        since = len(project.entries)
        assert project.get("echo", "/say/hello").json() == {"text": "said hello"}
        project.line("echo", "outer /echo.Echo/Say", since)
        with pytest.raises(grpc.RpcError) as refused:
            call(project, "Say", "a", metadata=[("token", "wrong")])
        assert (refused.value.code(), refused.value.details()) == (grpc.StatusCode.UNAUTHENTICATED, "no token")
        assert project.supervisor.snapshot["echo"].state == "ready"


@pytest.mark.parametrize(
    ("code", "told"),
    [
        (
            PLAIN.replace("def Say", "async def Say"),
            "/echo.Echo/Say is a coroutine, and no interceptor derives from grpc.aio.ServerInterceptor",
        ),
        (
            PLAIN.replace("class Inner(grpc.ServerInterceptor)", "class Inner"),
            "Inner is no interceptor; derive it from",
        ),
    ],
)
def test_an_interceptor_that_does_not_fit_is_told(tmp_path: Path, code: str, told: str) -> None:
    with supervised(tmp_path, {"mesh.toml": TOML, "server.py": code, "proto/echo.proto": PROTO}) as project:
        assert told in str(project.change("echo", "failed").reason)


@contextmanager
def counted(port: int) -> Iterator[tuple[str, list[int]]]:
    """A relay to the port, and the sizes of what came from there."""
    received: list[int] = []

    def copy(source: socket.socket, to: socket.socket, sizes: list[int]) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                sizes.append(len(data))
                to.sendall(data)
            to.shutdown(socket.SHUT_WR)

    with socket.create_server(("127.0.0.1", 0)) as server:

        def relay() -> None:
            with suppress(OSError):
                near, far = server.accept()[0], socket.create_connection(("127.0.0.1", port))
                with near, far:
                    back = threading.Thread(target=copy, args=(far, near, received), daemon=True)
                    back.start()
                    copy(near, far, [])
                    back.join(30)

        thread = threading.Thread(target=relay, daemon=True)
        thread.start()
        yield f"127.0.0.1:{server.getsockname()[1]}", received
    thread.join(30)


@pytest.mark.parametrize(
    ("compression", "least", "most"), [("none", 100_000, 120_000), ("deflate", 100, 20_000), ("gzip", 100, 20_000)]
)
def test_answers_are_compressed_as_declared(tmp_path: Path, compression: str, least: int, most: int) -> None:
    toml = TOML.replace('"gzip"', f'"{compression}"')
    code = PLAIN.replace('f"said', '"x" * 100_000 + f"said')
    with supervised(tmp_path, {"mesh.toml": toml, "server.py": code, "proto/echo.proto": PROTO}) as project:
        port = project.supervisor.directory.address("echo", "grpc").port
        with counted(port) as (address, received), grpc.insecure_channel(address) as channel:
            say: Any = channel.unary_unary("/echo.Echo/Say")
            assert len(say(b"\x0a\x01a", timeout=30)) > 100_000
        assert least < sum(received) < most
