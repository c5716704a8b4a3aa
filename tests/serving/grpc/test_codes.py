"""Each of the codes, raised by a handler, as its caller meets it on every way."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from mesh import Grpc, Http, Peer, Service
from mesh.pytest_plugin import Mesh
from mesh.store.pb import user_pb2, user_pb2_grpc
from tests.serving.misbehaving import failure

STATUS = {
    "CANCELLED": 499,
    "UNKNOWN": 500,
    "INVALID_ARGUMENT": 400,
    "DEADLINE_EXCEEDED": 504,
    "NOT_FOUND": 404,
    "ALREADY_EXISTS": 409,
    "PERMISSION_DENIED": 403,
    "RESOURCE_EXHAUSTED": 429,
    "FAILED_PRECONDITION": 400,
    "ABORTED": 409,
    "OUT_OF_RANGE": 400,
    "UNIMPLEMENTED": 501,
    "INTERNAL": 500,
    "UNAVAILABLE": 503,
    "DATA_LOSS": 500,
    "UNAUTHENTICATED": 401,
}


def test_every_code_is_told_alike_by_rest_by_the_gateway_by_hand_and_by_grpc(bad: Mesh) -> None:
    for number, (code, status) in zip([*range(1, 17)], STATUS.items(), strict=True):
        text = f'{code}: 100 % "so" ü'
        answers = [
            bad.http("user-service").post("/users", json={"name": code, "email": text}),
            bad.http("gateway").post("/api/grpc/users", json={"name": code, "email": text}),
            bad.http("web").post(f"/refuses/{code}", data=text.encode()),
        ]
        for answer in answers:
            assert (answer.status_code, answer.json()) == (status, {"code": number, "message": text, "details": []})
            assert answer.headers.get("retry-after") == ("1" if status in (429, 503) else None)
        stub = bad.stub("user-service")
        assert failure(lambda stub=stub, code=code, text=text: stub.CreateUser(name=code, email=text)) == (code, text)


def test_ok_is_no_error(bad: Mesh) -> None:
    assert bad.http("gateway").get("/api/grpc/users/100").status_code == 200


class Unwritten(user_pb2_grpc.UserServiceServicer):
    """A servicer with nothing but the generated stubs."""


class HalfWritten(user_pb2_grpc.UserServiceServicer):
    """A coroutine function beside the stubs, which are plain ones."""

    async def ListUsers(self, request: Any, context: Any) -> Any:
        return user_pb2.ListUsersResponse()


@pytest.mark.parametrize("servicer", [Unwritten, HalfWritten])
def test_a_method_that_nobody_has_written_is_unimplemented_on_every_way(
    start: Callable[..., Mesh], servicer: Any
) -> None:
    grpc = Grpc(port=0, servicers=(servicer,), services=("user.UserService",))
    mesh = start(
        Service("user-service", http=Http(ports=(0,)), grpc=grpc),
        Service("gateway", http=Http(ports=(0,), contracts=("user-service",), prefix="/api/grpc")),
    )
    assert failure(lambda: mesh.stub("user-service").GetUser(id=1)) == ("UNIMPLEMENTED", "Method not implemented!")
    for service, path in (("user-service", "/users/1"), ("gateway", "/api/grpc/users/1")):
        answer = mesh.http(service).get(path)
        unwritten = {"code": 12, "message": "Method not implemented!", "details": []}
        assert (answer.status_code, answer.json()) == (501, unwritten)


async def by_hand(request: Request) -> Response:
    return JSONResponse({"id": 1, "name": "by hand"})


async def asks(request: Request) -> Response:
    return Response((await Peer("user-service").GetUser(id=1)).name)


@pytest.mark.parametrize("servicer", [Unwritten, HalfWritten])
def test_a_caller_of_a_method_that_nobody_has_written_asks_over_http(start: Callable[..., Mesh], servicer: Any) -> None:
    grpc = Grpc(port=0, servicers=(servicer,), services=("user.UserService",))
    mesh = start(
        Service("user-service", http=Http(ports=(0,), app=Starlette(routes=[Route("/users/1", by_hand)])), grpc=grpc),
        Service("web", http=Http(ports=(0,), app=Starlette(routes=[Route("/asks", asks)]))),
    )
    answer = mesh.http("web").get("/asks")
    assert (answer.status_code, answer.text) == (200, "by hand")
