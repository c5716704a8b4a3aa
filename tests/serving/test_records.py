"""Content of the record of an answered call."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from mesh import Supervisor
from mesh.observing.events import as_event, entry_of
from mesh.observing.span import PAYLOAD_LIMIT, Span
from mesh.pytest_plugin import Mesh
from mesh.runtime.options import Options
from mesh.store.pb import user_pb2
from mesh.store.topology import store
from mesh.topology.selection import renumber
from tests.support.supervised import Project, gate, supervised

ECHO = """
from starlette.applications import Starlette
from starlette.responses import Response
from starlette.routing import Route

async def echo(request):
    return Response(await request.body(), media_type="text/plain")

app = Starlette(routes=[Route("/echo/{name}", echo, methods=["POST"])])
"""
DECLARED = '[services.echo]\nhttp = { port = 5001, app = "echo:app" }\n'


@pytest.fixture(scope="module")
def echo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    with supervised(tmp_path_factory.mktemp("echo"), {"mesh.toml": DECLARED, "echo.py": ECHO}) as project:
        yield project


def post(echo: Project, target: str, body: bytes) -> Span:
    """Return the record of one request with a body."""
    before = len(echo.entries)
    address = echo.supervisor.directory.address("echo", "http")
    requests.post(f"http://{address}{target}", body, headers={"content-type": "text/x-own"}, timeout=30)
    span: Span = echo.wait_for(lambda each: isinstance(each, Span), before)
    return span


def test_a_request_is_recorded_with_route_raw_path_bodies_and_types(echo: Project) -> None:
    span = post(echo, "/echo/a%2Fb?key=1", b"hello")
    assert (span.kind, span.protocol, span.method) == ("server", "http", "POST")
    assert (span.target, span.name, span.status) == ("/echo/a%2Fb?key=1", "POST /echo/a%2Fb", "404")
    span = post(echo, "/echo/ada?key=1", b"hello")
    assert (span.route, span.name, span.status) == ("/echo/{name}", "POST /echo/ada", "200")
    assert (span.request, span.request_size, span.request_type) == (b"hello", 5, "text/x-own")
    assert (span.response, span.response_size) == (b"hello", 5)
    assert span.response_type == "text/plain; charset=utf-8"
    assert (span.generation, span.worker.startswith("Task-"), span.error) == (1, True, None)


def test_a_large_body_is_cut_and_its_size_is_not(echo: Project) -> None:
    size = 10 * PAYLOAD_LIMIT
    span = post(echo, "/echo/ada", bytes(size))
    assert (len(span.request), span.request_size) == (PAYLOAD_LIMIT, size)
    assert (len(span.response), span.response_size) == (PAYLOAD_LIMIT, size)


def test_a_record_crosses_to_another_process_whole_and_is_shown_without_its_bytes(echo: Project) -> None:
    span = post(echo, "/echo/ada", b"\xff\x00")
    assert entry_of(as_event(span, payloads=True)) == span
    assert '"request":' not in as_event(span)
    assert '"request_size": 2' in as_event(span)


@pytest.mark.parametrize("is_recording", [True, False])
def test_a_grpc_call_is_recorded_with_its_full_name_and_messages_unless_told_not_to(
    is_recording: bool, tmp_path: Path
) -> None:
    mesh = Mesh(Supervisor(renumber(store(tmp_path), None, True), Options(record=is_recording)))
    mesh.supervisor.start()
    try:
        answer = mesh.stub("user-service").GetUser(id=1)
    finally:
        mesh.close()
    spans = [each for each in mesh.supervisor.journal.entries() if isinstance(each, Span)]
    assert [(each.method, each.status) for each in spans] == [("/user.UserService/GetUser", "OK")] * is_recording
    for span in spans:
        assert user_pb2.GetUserRequest.FromString(span.request).id == 1
        assert user_pb2.User.FromString(span.response) == answer
        assert (span.kind, span.protocol, span.name) == ("server", "grpc", "GetUser")


WAITING = """
import asyncio
from tests.support.supervised import gate

HEADERS = {"/last": [], "/counted": [(b"content-length", b"4")], "/empty": []}

async def app(scope, receive, send):
    if scope["type"] != "http":
        return
    status = 204 if scope["path"] == "/empty" else 200
    await send({"type": "http.response.start", "status": status, "headers": HEADERS[scope["path"]]})
    if scope["path"] != "/empty":
        await send({"type": "http.response.body", "body": b"done", "more_body": scope["path"] == "/counted"})
    await asyncio.to_thread(gate("out").wait, 60)
    raise RuntimeError("after the answer")
"""


@pytest.mark.parametrize("path", ["/last", "/counted", "/empty"])
def test_a_call_is_recorded_once_and_before_its_caller_has_the_last_byte(path: str, tmp_path: Path) -> None:
    declared = '[services.waiting]\nhttp = { port = 5001, app = "waiting:app" }\n'
    with supervised(tmp_path, {"mesh.toml": declared, "waiting.py": WAITING}) as project:
        answer = project.get("waiting", path)
        (span,) = [each for each in project.supervisor.journal.entries() if isinstance(each, Span)]
        assert (span.status, span.response) == (str(answer.status_code), answer.content)
        assert len(project.supervisor.journal.in_flight) == 1
        gate("out").set()
        project.line("waiting", "after the answer")
    assert [each for each in project.entries if isinstance(each, Span)] == [span]
    assert span.error is None


FAILING = """
from starlette.applications import Starlette
from starlette.routing import Route

def find(users, name):
    return users[name]

def user(request):
    find({}, "ada")

app = Starlette(routes=[Route("/user", user)])
"""


def test_the_record_of_a_failed_call_names_the_exception_and_its_last_own_frame(tmp_path: Path) -> None:
    declared = '[services.failing]\nhttp = { port = 5001, app = "failing:app" }\n'
    with supervised(tmp_path, {"mesh.toml": declared, "failing.py": FAILING}) as project:
        assert project.get("failing", "/user").status_code == 500
        span = project.wait_for(lambda each: isinstance(each, Span))
    assert (span.status, span.error) == ("500", "KeyError")
    assert span.cause == "KeyError: 'ada' at failing.py:6 in find"
