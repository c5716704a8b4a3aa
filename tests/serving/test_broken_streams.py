"""Answers of a contract that HTTP cannot carry, or only in part, never look like whole answers."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import flask
import grpc
import pytest
import streams_pb2 as pb
import streams_pb2_grpc as pb_grpc
from google.api import httpbody_pb2
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from mesh import Code, Grpc, Http, Service, StatusError
from mesh.observing.journal import Line
from mesh.pytest_plugin import Mesh
from tests.serving.misbehaving import say


def fail(then: str, context: Any) -> None:
    if then == "status":
        raise StatusError(Code.DATA_LOSS, "the source broke")
    if then == "code":
        context.set_code(grpc.StatusCode.DATA_LOSS)
        context.set_details("the source broke")
        raise ValueError("a secret")
    if then == "bug":
        raise ValueError("a secret")


class Plain(pb_grpc.StreamsServicer):
    def Count(self, request: Any, context: Any) -> Iterator[Any]:
        for value in range(request.count):
            yield pb.Number(value=value)
        fail(request.then, context)

    def Download(self, request: Any, context: Any) -> Iterator[Any]:
        for value in range(request.count):
            yield httpbody_pb2.HttpBody(content_type="text/plain", data=b"%d" % value)
        fail(request.then, context)

    def Typed(self, request: Any, context: Any) -> Any:
        return httpbody_pb2.HttpBody(content_type=request.data.decode(), data=b"well")


class Coroutines(pb_grpc.StreamsServicer):
    async def Count(self, request: Any, context: Any) -> AsyncIterator[Any]:
        for value in range(request.count):
            yield pb.Number(value=value)
        fail(request.then, context)

    async def Download(self, request: Any, context: Any) -> AsyncIterator[Any]:
        for value in range(request.count):
            yield httpbody_pb2.HttpBody(content_type="text/plain", data=b"%d" % value)
        fail(request.then, context)

    async def Typed(self, request: Any, context: Any) -> Any:
        return httpbody_pb2.HttpBody(content_type=request.data.decode(), data=b"well")


def wsgi() -> flask.Flask:
    app = flask.Flask("wsgi")

    @app.get("/own")
    def own() -> Any:
        def pieces() -> Iterator[bytes]:
            yield b"half"
            raise ValueError("a secret")

        return flask.Response(pieces())

    return app


async def own(request: Request) -> Response:
    async def pieces() -> AsyncIterator[bytes]:
        yield b"half"
        await asyncio.sleep(0)
        raise ValueError("a secret")

    return StreamingResponse(pieces())


@pytest.fixture(params=[Plain, Coroutines])
def mesh(request: pytest.FixtureRequest, start: Callable[..., Mesh]) -> Mesh:
    grpc_ = Grpc(port=0, servicers=(request.param,), services=("streams.Streams",))
    return start(
        Service("streams", http=Http(ports=(0,)), grpc=grpc_),
        Service("gateway", http=Http(ports=(0,), contracts=("streams",), prefix="/api")),
        Service("asgi", http=Http(ports=(0,), app=Starlette(routes=[Route("/own", own)]))),
        Service("wsgi", http=Http(ports=(0,), app=wsgi())),
    )


def body(mesh: Mesh, service: str, target: str, accept: str = "*/*") -> bytes:
    """Return the answer as it comes, from the first chunk on; a whole one ends in an empty chunk."""
    head = f"GET {target} HTTP/1.1\r\nHost: localhost\r\nAccept: {accept}\r\nConnection: close\r\n\r\n"
    answer = say(mesh.address(f"{service}.http"), head.encode())
    assert answer.startswith(b"HTTP/1.1 200")
    return answer.partition(b"\r\n\r\n")[2]


WHOLE = b"0\r\n\r\n"
ENTRIES = [("streams", ""), ("gateway", "/api")]


@pytest.mark.parametrize("then", ["status", "code", "bug"])
def test_a_stream_of_a_contract_that_fails_is_cut_after_its_last_answer(mesh: Mesh, then: str) -> None:
    for service, prefix in ENTRIES:
        raw = body(mesh, service, f"{prefix}/download?count=2&then={then}")
        assert b"0" in raw
        assert b"1" in raw
        lines = body(mesh, service, f"{prefix}/count?count=1&then={then}")
        assert b'{"result":{"value":0}}\n' in lines
        events = body(mesh, service, f"{prefix}/count?count=1&then={then}", "text/event-stream")
        for answer in (raw, lines, events):
            assert not answer.endswith(WHOLE)
            assert b"a secret" not in answer
        # The form with room for an error says it, once.
        assert (raw.count(b"error"), lines.count(b'{"error":'), events.count(b"event: error")) == (0, 1, 1)
    logged = [each for each in mesh.supervisor.journal.entries() if isinstance(each, Line)]
    assert {line.service for line in logged} == (set() if then == "status" else {"streams"})


def test_the_last_line_of_a_stream_names_the_request_under_which_its_bug_is_logged(mesh: Mesh) -> None:
    for service, prefix in ENTRIES:
        lines = body(mesh, service, f"{prefix}/count?count=1&then=bug")
        assert (said := re.search(rb"internal error .*\(request (\w+)\)", lines)) is not None
        logged = [each.text for each in mesh.supervisor.journal.entries() if isinstance(each, Line)]
        assert logged[-1].startswith(f"request {said[1].decode()} failed\n")


def test_a_stream_that_ends_well_ends_in_the_last_chunk(mesh: Mesh) -> None:
    for service, prefix in ENTRIES:
        assert body(mesh, service, f"{prefix}/download?count=2").endswith(WHOLE)
        assert body(mesh, service, f"{prefix}/count?count=2").endswith(WHOLE)


@pytest.mark.parametrize("service", ["asgi", "wsgi"])
def test_a_stream_of_an_application_that_fails_is_cut(mesh: Mesh, service: str) -> None:
    answer = body(mesh, service, "/own")
    assert b"half" in answer
    assert not answer.endswith(WHOLE)
    assert b"a secret" not in answer


@pytest.mark.parametrize("content_type", ["text/plain\r\nx-a: b", "text/plain\n", "\x00"])
def test_a_content_type_that_http_cannot_carry_is_500_with_a_line(mesh: Mesh, content_type: str) -> None:
    for service, prefix in ENTRIES:
        answer = mesh.http(service).post(f"{prefix}/typed", data=content_type)
        assert (answer.status_code, answer.json()["code"]) == (500, 13)
        assert answer.json()["message"].startswith(f"internal error in {service} (request ")
    logged = [each for each in mesh.supervisor.journal.entries() if isinstance(each, Line)]
    assert [line.service for line in logged] == ["streams", "gateway"]
    for line in logged:
        assert line.text.endswith(f"ValueError: HTTP cannot carry the header content-type: {content_type.encode()!r}")
    assert mesh.http("streams").post("/typed", data="text/plain; charset=é".encode()).text == "well"
