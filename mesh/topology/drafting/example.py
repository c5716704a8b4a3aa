"""The example that `mesh init` writes where there is nothing: a web page that asks a greeter over gRPC."""

from __future__ import annotations

from pathlib import Path

_MESH_TOML = """\
# An example, written by `mesh init`: `mesh up` runs it, `pytest` tests it.
#
#     curl http://127.0.0.1:8001/hello/Ada
#     mesh call greeter SayHello '{"name": "Ada"}'

[mesh]
name = "hello"
protos = ["proto"]  # folders of .proto files: compiled at start, importable by every service

[services.web]
root = "web"  # this service's import root and working folder
http = { port = 8001, app = "app:app" }
depends_on = ["greeter"]
env = { GREETER = "greeter:50051" }  # seen by this service alone; the name reaches the listener below

[services.greeter]
root = "greeter"
grpc = { port = 50051, servicers = ["server:GreeterServicer"] }
"""

_PROTO = """\
syntax = "proto3";

package hello;

service Greeter {
  rpc SayHello(HelloRequest) returns (HelloReply);
}

message HelloRequest {
  string name = 1;
}

message HelloReply {
  string message = 1;
}
"""

_GREETER = '''\
"""The greeter, over gRPC."""

import grpc
import greeter_pb2
import greeter_pb2_grpc


class GreeterServicer(greeter_pb2_grpc.GreeterServicer):
    def SayHello(self, request, context):
        if not request.name:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, "name is empty")
        return greeter_pb2.HelloReply(message=f"Hello, {request.name}!")
'''

_WEB = '''\
"""The web page, over HTTP: it asks the greeter over gRPC."""

import os

import greeter_pb2
import greeter_pb2_grpc
import grpc
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

greeter = greeter_pb2_grpc.GreeterStub(grpc.insecure_channel(os.environ["GREETER"]))


def hello(request: Request) -> JSONResponse:
    reply = greeter.SayHello(greeter_pb2.HelloRequest(name=request.path_params["name"]), timeout=5)
    return JSONResponse({"message": reply.message})


app = Starlette(routes=[Route("/hello/{name}", hello)])
'''

_TEST = '''\
"""The whole topology, run in this process on free ports by mesh's pytest fixture."""


def test_the_greeter_greets(mesh):
    assert mesh.stub("greeter").SayHello(name="Ada").message == "Hello, Ada!"


def test_the_page_asks_the_greeter(mesh):
    response = mesh.http("web").get("/hello/Ada")
    assert response.status_code == 200
    assert response.json() == {"message": "Hello, Ada!"}
'''

EXAMPLE = {
    Path("mesh.toml"): _MESH_TOML,
    Path("proto/greeter.proto"): _PROTO,
    Path("greeter/server.py"): _GREETER,
    Path("web/app.py"): _WEB,
    Path("tests/test_hello.py"): _TEST,
}
