"""Services that bring OpenTelemetry's SDK: their spans are in mesh's traces, and no call is there twice."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import grpc
import pytest
import requests

from mesh.control.trace_receiver import TraceReceiver
from mesh.observing.span import Span
from mesh.store.pb import user_pb2, user_pb2_grpc
from tests.support.ports import free_row
from tests.support.supervised import PATIENCE, Project, supervised

TRACER = """\
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor

provider = TracerProvider(resource=Resource.create({"service.name": "shop"}))
provider.add_span_processor(SimpleSpanProcessor(OTLPSpanExporter("http://127.0.0.1:PORT/v1/traces")))
trace.set_tracer_provider(provider)
tracer = trace.get_tracer("shop")
"""
FASTAPI = """\
import tracer
from fastapi import FastAPI
from opentelemetry.instrumentation.fastapi import FastAPIInstrumentor

app = FastAPI()


@app.get("/users/{id}")
async def user(id: int):
    with tracer.tracer.start_as_current_span("load", attributes={"table": "users"}):
        return {"id": id}


FastAPIInstrumentor.instrument_app(app)
"""
STARLETTE = """\
import tracer
from opentelemetry.instrumentation.starlette import StarletteInstrumentor
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route


async def user(request):
    with tracer.tracer.start_as_current_span("load", attributes={"table": "users"}):
        return JSONResponse({"id": 1})


app = Starlette(routes=[Route("/users/{id}", user)])
StarletteInstrumentor.instrument_app(app)
"""
FLASK = """\
import tracer
from flask import Flask
from opentelemetry.instrumentation.flask import FlaskInstrumentor

app = Flask(__name__)
FlaskInstrumentor().instrument_app(app)


@app.get("/users/<id>")
def user(id):
    with tracer.tracer.start_as_current_span("load", attributes={"table": "users"}):
        return {"id": id}
"""
SYNC = """\
from concurrent.futures import ThreadPoolExecutor

import grpc
import tracer
from mesh.store.pb import user_pb2, user_pb2_grpc
from opentelemetry.instrumentation.grpc import server_interceptor


class Users(user_pb2_grpc.UserServiceServicer):
    def GetUser(self, request, context):
        with tracer.tracer.start_as_current_span("load", attributes={"table": "users"}):
            return user_pb2.User(id=request.id)


server = grpc.server(ThreadPoolExecutor(4), interceptors=[server_interceptor()])
user_pb2_grpc.add_UserServiceServicer_to_server(Users(), server)
server.add_insecure_port("[::]:50051")
server.start()
server.wait_for_termination()
"""
AIO = """\
import asyncio

import grpc
import tracer
from mesh.store.pb import user_pb2, user_pb2_grpc
from opentelemetry.instrumentation.grpc import aio_server_interceptor


class Users(user_pb2_grpc.UserServiceServicer):
    async def GetUser(self, request, context):
        with tracer.tracer.start_as_current_span("load", attributes={"table": "users"}):
            return user_pb2.User(id=request.id)

    async def ListUsers(self, request, context):
        return user_pb2.ListUsersResponse()

    async def CreateUser(self, request, context):
        return user_pb2.User()

    async def WatchUsers(self, request, context):
        yield user_pb2.User()

    async def ImportUsers(self, requests, context):
        return user_pb2.User()


async def main():
    server = grpc.aio.server(interceptors=[aio_server_interceptor()])
    user_pb2_grpc.add_UserServiceServicer_to_server(Users(), server)
    server.add_insecure_port("[::]:50051")
    await server.start()
    await server.wait_for_termination()


asyncio.run(main())
"""
HTTP = '[services.user]\nhttp = { port = 5001, app = "app:app" }\n'
GRPC = '[services.user]\nrun = "app.py"\ngrpc = { port = 50051 }\n'
CALLER = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@contextmanager
def traced(folder: Path, declared: str, app: str) -> Iterator[Project]:
    """Run the service, whose SDK sends to a receiver of the same journal."""
    port = free_row(1)
    files = {"mesh.toml": declared, "app.py": app, "tracer.py": TRACER.replace("PORT", str(port))}
    with supervised(folder, files) as project, closing(TraceReceiver(project.supervisor.journal, port)) as receiver:
        receiver.start()
        yield project


def is_internal(entry: object) -> bool:
    return isinstance(entry, Span) and entry.kind == "internal"


def trace_of(project: Project) -> list[tuple[str, str, str | None]]:
    """Return kind, name, and the name of the span around it, of every span, once what the service sent has come."""
    project.wait_for(is_internal)
    spans = [each for each in project.entries if isinstance(each, Span)]
    names = {each.span_id: each.name for each in spans}
    assert len({each.trace_id for each in spans}) == 1
    return [(each.kind, each.name, names.get(each.parent_id or "")) for each in spans]


@pytest.mark.parametrize("headers", [{}, {"traceparent": CALLER}], ids=["root", "called"])
@pytest.mark.parametrize("app", [FASTAPI, STARLETTE, FLASK], ids=["fastapi", "starlette", "flask"])
def test_a_request_to_an_instrumented_application_is_one_server_span(
    tmp_path: Path, app: str, headers: dict[str, str]
) -> None:
    with traced(tmp_path, HTTP, app) as project:
        url = f"http://{project.supervisor.directory.address('user', 'http')}/users/1"
        with requests.Session() as session:
            session.trust_env = False
            assert session.get(url, headers=headers, timeout=PATIENCE).status_code == 200
        assert sorted(trace_of(project)) == [("internal", "load", "GET /users/1"), ("server", "GET /users/1", None)]
        (load,) = [each for each in project.entries if isinstance(each, Span) and each.kind == "internal"]
        assert (load.service, load.status, load.request) == ("user", "OK", b'{"table": "users"}')


@pytest.mark.parametrize("app", [SYNC, AIO], ids=["sync", "aio"])
def test_a_call_to_an_instrumented_grpc_server_is_one_server_span(tmp_path: Path, app: str) -> None:
    with traced(tmp_path, GRPC, app) as project:
        address = str(project.supervisor.directory.address("user", "grpc"))
        with grpc.insecure_channel(address, [("grpc.enable_http_proxy", 0)]) as channel:
            stub = user_pb2_grpc.UserServiceStub(channel)
            request = user_pb2.GetUserRequest(id=1)
            assert stub.GetUser(request, timeout=PATIENCE, metadata=[("traceparent", CALLER)]).id == 1
        assert sorted(trace_of(project)) == [("internal", "load", "GetUser"), ("server", "GetUser", None)]
