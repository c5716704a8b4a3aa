"""Calls of services' own clients: one tree of client and server records, with code as anybody writes it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from mesh.observing.journal import Line
from mesh.observing.span import Span
from mesh.pytest_plugin import Mesh
from tests.support.supervised import Project, supervised

DECLARED = """\
[mesh]
protos = ["proto"]

[services.flask]
http = { port = 5001, app = "flask_app:app" }
[services.starlette]
http = { port = 5002, app = "starlette_app:app" }
[services.fastapi]
http = { port = 5003, app = "fastapi_app:app" }
[services.plain]
grpc = { port = 50061, servicers = ["servicers:Plain"], services = ["ask.Plain"] }
[services.async]
grpc = { port = 50062, servicers = ["servicers:Async"], services = ["ask.Async"] }
[services.callee]
http = { port = 5010, app = "callee:app" }
grpc = { port = 50060, servicers = ["callee:Echo"], services = ["ask.Echo"] }
"""

PROTO = """\
syntax = "proto3";
package ask;
message Text { string text = 1; }
service Echo { rpc Say(Text) returns (Text); rpc Count(Text) returns (stream Text); }
service Plain { rpc Ask(Text) returns (Text); }
service Async { rpc Ask(Text) returns (Text); }
"""

CALLEE = """\
import ask_pb2, ask_pb2_grpc
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route

async def hello(request):
    print("greeting over HTTP")
    return PlainTextResponse("hello " + (await request.body()).decode())

app = Starlette(routes=[Route("/hello/{name}", hello, methods=["GET", "POST"])])

class Echo(ask_pb2_grpc.EchoServicer):
    def Say(self, request, context):
        print("greeting over gRPC")
        return ask_pb2.Text(text="hello " + request.text)

    def Count(self, request, context):
        print("counting over gRPC")
        for each in range(3):
            yield ask_pb2.Text(text=str(each))
"""

CLIENTS = """\
import http.client, urllib.request
import aiohttp, ask_pb2, ask_pb2_grpc, grpc, httpx, requests, urllib3

URL = "http://callee:5010/hello/ada?key=1"
channel = grpc.insecure_channel("callee:50060")
stub = ask_pb2_grpc.EchoStub(channel)
text = ask_pb2.Text(text="ada")

def use_requests():
    return requests.post(URL, data=b"ada").text

def use_urllib():
    with urllib.request.urlopen(URL, b"ada") as answer:
        return answer.read().decode()

def use_urllib3():
    return urllib3.PoolManager().request("POST", URL, body=b"ada").data.decode()

def use_http_client():
    connection = http.client.HTTPConnection("callee", 5010)
    connection.request("POST", "/hello/ada?key=1", b"ada")
    answer = connection.getresponse().read().decode()
    connection.close()
    return answer

def use_httpx():
    with httpx.Client(trust_env=False) as client:
        return client.post(URL, content=b"ada").text

def use_requests_twice():
    # As code does that hands on what it was sent, and as a tracer of the service's own does.
    import flask
    requests.get(URL, headers={"traceparent": flask.request.headers["traceparent"]})
    trace = flask.request.headers["traceparent"].split("-")[1]
    requests.get(URL, headers={"traceparent": f"00-{trace}-00000000000000aa-01"})
    return "asked"

def use_nobody():
    try:
        requests.get("http://127.0.0.1:1/nobody")
    except requests.ConnectionError:
        pass
    try:
        with grpc.insecure_channel("127.0.0.1:1") as refused:
            ask_pb2_grpc.EchoStub(refused).Say(text)
    except grpc.RpcError:
        return "nobody"

def use_grpc():
    return stub.Say(text).text

def use_grpc_future():
    return stub.Say.future(text).result().text

def use_grpc_stream():
    return "hello " + "".join(each.text for each in stub.Count(text))

async def use_httpx_async():
    async with httpx.AsyncClient(trust_env=False) as client:
        return (await client.post(URL, content=b"ada")).text

async def use_aiohttp():
    async with aiohttp.ClientSession() as session, session.post(URL, data=b"ada") as answer:
        return await answer.text()

async def use_grpc_aio():
    async with grpc.aio.insecure_channel("callee:50060") as channel:
        return (await ask_pb2_grpc.EchoStub(channel).Say(text)).text

async def use_grpc_aio_stream():
    async with grpc.aio.insecure_channel("callee:50060") as channel:
        return "hello " + "".join([each.text async for each in ask_pb2_grpc.EchoStub(channel).Count(text)])
"""

FLASK = """\
import clients
from flask import Flask
app = Flask(__name__)

@app.get("/<client>")
def ask(client):
    return getattr(clients, client)()
"""

STARLETTE = """\
import inspect, clients
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.responses import PlainTextResponse
from starlette.routing import Route

async def ask(request):
    use = getattr(clients, request.path_params["client"])
    return PlainTextResponse(await use() if inspect.iscoroutinefunction(use) else await run_in_threadpool(use))

app = Starlette(routes=[Route("/{client}", ask)])
"""

FASTAPI = """\
import clients
from fastapi import FastAPI
from fastapi.responses import PlainTextResponse
app = FastAPI()

@app.get("/sync/{client}", response_class=PlainTextResponse)
def ask(client: str):
    return getattr(clients, client)()

@app.get("/{client}", response_class=PlainTextResponse)
async def ask_async(client: str):
    return await getattr(clients, client)()
"""

SERVICERS = """\
import ask_pb2, ask_pb2_grpc, clients

class Plain(ask_pb2_grpc.PlainServicer):
    def Ask(self, request, context):
        return ask_pb2.Text(text=getattr(clients, request.text)())

class Async(ask_pb2_grpc.AsyncServicer):
    async def Ask(self, request, context):
        return ask_pb2.Text(text=await getattr(clients, request.text)())
"""

SYNC = ["requests", "urllib", "urllib3", "http_client", "httpx", "grpc", "grpc_future", "grpc_stream"]
ASYNC = ["httpx_async", "aiohttp", "grpc_aio", "grpc_aio_stream"]


@pytest.fixture(scope="module")
def calls(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    files = {
        "mesh.toml": DECLARED,
        "proto/ask.proto": PROTO,
        "callee.py": CALLEE,
        "clients.py": CLIENTS,
        "flask_app.py": FLASK,
        "starlette_app.py": STARLETTE,
        "fastapi_app.py": FASTAPI,
        "servicers.py": SERVICERS,
    }
    folder: Path = tmp_path_factory.mktemp("clients")
    with supervised(folder, files) as project:
        assert project.supervisor.failures() == []
        yield project


def root_of(calls: Project, before: int, caller: str) -> Span:
    """Return the record of the caller's answer."""
    found: Span = calls.wait_for(
        lambda each: isinstance(each, Span) and (each.service, each.kind) == (caller, "server"), before
    )
    return found


def tree_of(calls: Project, before: int, root: Span) -> tuple[Span, Span]:
    """Return the one client record under the root, and the server record under that."""
    client: Span = calls.wait_for(lambda each: isinstance(each, Span) and each.parent_id == root.span_id, before)
    server: Span = calls.wait_for(lambda each: isinstance(each, Span) and each.parent_id == client.span_id, before)
    spans = [each for each in calls.entries[before:] if isinstance(each, Span)]
    assert len(spans) == 3, spans
    assert {each.trace_id for each in spans} == {root.trace_id}
    assert (root.is_root, client.is_root, server.is_root) == (True, False, False)
    line = calls.wait_for(lambda each: isinstance(each, Line) and each.service == "callee", before)
    assert (line.trace_id, line.span_id) == (root.trace_id, server.span_id)
    return client, server


def check(client: Span, server: Span, caller: str, kind: str) -> None:
    """Check that the two are one call of the caller to the callee, with its payloads."""
    assert (client.kind, client.service, client.peer) == ("client", caller, "callee")
    assert (server.kind, server.service, server.peer) == ("server", "callee", caller)
    assert (client.protocol, client.method, client.status) == (server.protocol, server.method, server.status)
    assert client.milliseconds > 0
    if kind.startswith("grpc"):
        assert (client.declared, client.status) == ("callee:50060", "OK")
        assert (client.request, client.response) == (server.request, server.response)
        assert client.request == b"\n\x03ada"
    else:
        assert (client.declared, client.target, client.status) == ("callee:5010", "/hello/ada?key=1", "200")
        assert (client.request, client.request_size) == (b"ada", 3)
        assert server.route == "/hello/{name}"
        # aiohttp's own tracing ends with the headers.
        assert client.response == (b"" if kind == "aiohttp" else b"hello ada")


@pytest.mark.parametrize(
    ("caller", "prefix", "kind"),
    [
        *[("flask", "/use_", each) for each in SYNC],
        *[("starlette", "/use_", each) for each in SYNC + ASYNC],
        *[("fastapi", "/sync/use_", each) for each in SYNC],
        *[("fastapi", "/use_", each) for each in ASYNC],
    ],
)
def test_a_call_of_an_http_handler_is_one_tree(calls: Project, caller: str, prefix: str, kind: str) -> None:
    before = len(calls.entries)
    # pytest has put other streams in the place of those that mesh found at its start.
    with calls.supervisor.rerouted_output():
        answer = calls.get(caller, f"{prefix}{kind}")
    assert answer.text == ("hello 012" if "stream" in kind else "hello ada")
    root = root_of(calls, before, caller)
    check(*tree_of(calls, before, root), caller, kind)


@pytest.mark.parametrize(
    ("caller", "method", "kind"),
    [*[("plain", "Plain", each) for each in SYNC], *[("async", "Async", each) for each in ASYNC]],
)
def test_a_call_of_a_servicer_is_one_tree(calls: Project, caller: str, method: str, kind: str) -> None:
    before = len(calls.entries)
    mesh = Mesh(calls.supervisor)
    with calls.supervisor.rerouted_output():
        answer = mesh.stub(caller).Ask(text=f"use_{kind}")
    mesh.channel(caller).close()
    assert answer.text == ("hello 012" if "stream" in kind else "hello ada")
    root = root_of(calls, before, caller)
    check(*tree_of(calls, before, root), caller, kind)


def test_a_traceparent_that_was_copied_is_replaced_and_that_of_an_own_tracer_names_the_attempt(calls: Project) -> None:
    before = len(calls.entries)
    address = calls.supervisor.directory.address("flask", "http")
    trace, outer = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
    url = f"http://{address}/use_requests_twice"
    assert requests.get(url, headers={"traceparent": f"00-{trace}-{outer}-01"}, timeout=30).text == "asked"
    root: Span = calls.wait_for(
        lambda each: isinstance(each, Span) and each.service == "flask" and each.is_root, before
    )
    spans = [each for each in calls.entries[before:] if isinstance(each, Span)]
    first, second = (each for each in spans if each.kind == "client")
    assert {each.trace_id for each in spans} == {trace}
    assert (first.parent_id, second.parent_id) == (root.span_id, root.span_id)
    assert first.span_id not in (root.span_id, outer)
    assert second.span_id == "00000000000000aa"
    assert [each.parent_id for each in spans if each.service == "callee"] == [first.span_id, second.span_id]


def test_a_call_that_nobody_answers_keeps_its_destination_and_its_error(calls: Project) -> None:
    before = len(calls.entries)
    assert calls.get("flask", "/use_nobody").text == "nobody"
    root: Span = calls.wait_for(
        lambda each: isinstance(each, Span) and each.service == "flask" and each.is_root, before
    )
    spans = [each for each in calls.entries[before:] if isinstance(each, Span) and each is not root]
    assert [(each.declared, each.peer, each.status, each.error, each.name) for each in spans] == [
        ("127.0.0.1:1", None, "", "NewConnectionError", "GET /nobody"),
        ("127.0.0.1:1", None, "UNAVAILABLE", "_InactiveRpcError", "Say"),
    ]
    assert {each.parent_id for each in spans} == {root.span_id}
    assert calls.supervisor.journal.calling == {}
