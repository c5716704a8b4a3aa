"""Hosts and ports as written for Compose, led to where the listeners are."""

from __future__ import annotations

import asyncio
import http.client
import socket
import sys
import threading
import types
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import grpc
import pytest
import requests

from mesh.topology.model import Address
from tests.support.raw_calls import unary

if TYPE_CHECKING:
    from mesh.service import ServiceContext
    from tests.hosting.conftest import Hosted, Write


class Hello(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "5")
        self.end_headers()
        self.wfile.write(b"hello")

    def log_message(self, *args: Any) -> None: ...


@pytest.fixture
def one(hosted: Hosted) -> Iterator[ServiceContext]:
    """A service beside an HTTP listener at users:8080 and a gRPC one at user-service:50051, both really elsewhere."""
    http_server = ThreadingHTTPServer(("127.0.0.1", 0), Hello)
    threading.Thread(target=http_server.serve_forever, daemon=True).start()
    grpc_server = grpc.server(ThreadPoolExecutor(1))
    handler: grpc.RpcMethodHandler[bytes, bytes] = grpc.unary_unary_rpc_method_handler(
        lambda request, context: request + b" " + context._rpc_event.call_details.host
    )
    grpc_server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("test.Echo", {"Say": handler}),))
    port = grpc_server.add_insecure_port("127.0.0.1:0")
    grpc_server.start()
    hosted.isolation.names.point(
        {
            ("users", 8080): Address("127.0.0.1", http_server.server_port),
            ("localhost", 8080): Address("127.0.0.1", http_server.server_port),
            ("user-service", 50051): Address("127.0.0.1", port),
        }
    )
    yield hosted.add("one")
    grpc_server.stop(None).wait()
    http_server.shutdown()
    http_server.server_close()


def _urllib(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=30) as answer:
        return bytes(answer.read())


def _http_client(url: str) -> bytes:
    host, _, port = url.removeprefix("http://").strip("/").partition(":")
    connection = http.client.HTTPConnection(host, int(port), timeout=30)
    try:
        connection.request("GET", "/")
        return connection.getresponse().read()
    finally:
        connection.close()


def _httpx(url: str) -> bytes:
    return bytes(pytest.importorskip("httpx").get(url, timeout=30, trust_env=False).content)


BLOCKING: list[Callable[[str], bytes]] = [_urllib, _http_client, _httpx, lambda u: requests.get(u, timeout=30).content]


@pytest.mark.parametrize("get", BLOCKING)
@pytest.mark.parametrize("host", ["users", "USERS", "localhost"])
def test_blocking_clients_reach_a_name_and_its_port(
    get: Callable[[str], bytes], host: str, one: ServiceContext, hosted: Hosted
) -> None:
    assert hosted.within(one, get, f"http://{host}:8080/") == b"hello"


async def _aiohttp(url: str) -> bytes:
    import aiohttp

    async with aiohttp.ClientSession() as session, session.get(url) as answer:
        return await answer.read()


async def _async_httpx(url: str) -> bytes:
    httpx = pytest.importorskip("httpx")
    async with httpx.AsyncClient(trust_env=False) as client:
        return bytes((await client.get(url)).content)


async def _streams(url: str) -> bytes:
    host, _, port = url.removeprefix("http://").strip("/").partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(b"GET / HTTP/1.0\r\n\r\n")
    text = await reader.read()
    writer.close()
    await writer.wait_closed()
    return text.partition(b"\r\n\r\n")[2]


@pytest.mark.parametrize("get", [_aiohttp, _async_httpx, _streams])
@pytest.mark.parametrize("loop", ["uvloop", "asyncio", "plain"])
def test_async_clients_reach_it_on_every_loop(
    get: Any, loop: str, one: ServiceContext, hosted: Hosted, monkeypatch: pytest.MonkeyPatch
) -> None:
    if loop == "asyncio":
        monkeypatch.setitem(sys.modules, "uvloop", None)
    factory = asyncio.new_event_loop if loop == "plain" else hosted.isolation.new_event_loop

    def run() -> bytes:
        with asyncio.Runner(loop_factory=factory) as runner:
            assert ("uvloop" in repr(type(runner.get_loop()).__mro__)) == (loop == "uvloop")
            return bytes(runner.run(get("http://users:8080")))

    assert hosted.within(one, run) == b"hello"


@pytest.mark.parametrize("target", ["user-service:50051", "dns:///user-service:50051", "dns:user-service:50051"])
def test_grpc_reaches_it_and_keeps_the_authority(target: str, one: ServiceContext, hosted: Hosted) -> None:
    def call() -> bytes:
        with grpc.insecure_channel(target, [("grpc.max_receive_message_length", 1000)]) as channel:
            return bytes(unary(channel, "/test.Echo/Say")(b"hello", timeout=30))

    async def acall() -> bytes:
        async with grpc.aio.insecure_channel(target) as channel:
            say: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary("/test.Echo/Say")
            return await say(b"hello", timeout=30)

    assert hosted.within(one, call) == b"hello user-service:50051"
    assert hosted.within(one, asyncio.run, acall()) == b"hello user-service:50051"


def test_names_taken_from_grpc_by_the_service_are_served_too(one: ServiceContext, hosted: Hosted, write: Write) -> None:
    app = """
        from grpc import insecure_channel
        with insecure_channel("user-service:50051") as channel:
            answer = channel.unary_unary("/test.Echo/Say")(b"hello", timeout=30)
    """
    two = hosted.add("two", root=write("two", {"app.py": app}))
    assert hosted.load(two, "app:answer") == b"hello user-service:50051"


def test_a_table_is_swapped_whole_and_serves_services_alone(one: ServiceContext, hosted: Hosted) -> None:
    with pytest.raises(OSError, match=r".*"):
        socket.getaddrinfo("users", 8080)
    assert hosted.within(one, socket.gethostbyname, "users") == "127.0.0.1"
    hosted.isolation.names.point({("orders", 80): Address("127.0.0.1", 7)})
    assert hosted.within(one, socket.getaddrinfo, "orders", "80", 0, socket.SOCK_STREAM)[0][4] == ("127.0.0.1", 7)
    with pytest.raises(OSError, match=r".*"):
        hosted.within(one, socket.getaddrinfo, "users", 8080)


def test_a_target_that_nobody_declared_is_left_alone(one: ServiceContext, hosted: Hosted) -> None:
    names = hosted.isolation.names
    for target in ("unix:/tmp/x", "other:50051", "ipv4:127.0.0.1:5", "[::1]:7", "nonsense"):
        assert hosted.within(one, names.target, target) == (target, None)
    assert names.target("user-service:50051") == ("user-service:50051", None)


def test_a_certificate_is_asked_for_the_name_meant(one: ServiceContext, hosted: Hosted) -> None:
    anyio = types.ModuleType("anyio")
    anyio.connect_tcp = lambda host, port, **options: (host, port, options)  # type: ignore[attr-defined]
    names = hosted.isolation.names
    names.point({("users", 443): Address("127.0.0.1", 7)})
    names._serve_anyio(anyio)
    assert hosted.within(one, anyio.connect_tcp, "users", 443, tls=True) == (
        "127.0.0.1",
        7,
        {"tls": True, "tls_hostname": "users"},
    )
