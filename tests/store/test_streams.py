"""Users and products are watched and imported over gRPC, over the services' REST and through the gateway."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import grpc
import pytest
import requests

from mesh.pytest_plugin import Mesh
from mesh.store.pb import user_pb2


@pytest.fixture(autouse=True)
def _nobody_follows_before(mesh: Mesh) -> None:
    """The server learns of a watcher of an earlier test that left a moment after it did."""
    for service in ("user-service", "product-service"):
        wait_for_followers(mesh, service, 0)


def wait_for_followers(mesh: Mesh, service: str, number: int = 1) -> None:
    """The headers of a quiet stream may go out before the servicer follows."""
    feed = mesh.supervisor.context(service).state["created"]
    patience = time.monotonic() + 60
    while feed.followers != number:
        assert time.monotonic() < patience


NEW = {"name": "Lin", "email": "lin@example.com"}


@pytest.mark.parametrize(("service", "path"), [("user-service", "/users"), ("gateway", "/api/grpc/users")])
def test_a_watch_over_http_gets_each_new_user_as_a_line(mesh: Mesh, service: str, path: str) -> None:
    with mesh.http(service).get(f"{path}:watch", stream=True) as watch:
        lines = watch.iter_lines()
        assert watch.headers["content-type"] == "application/x-ndjson"
        wait_for_followers(mesh, "user-service")
        for n in range(3):
            mesh.stub("user-service").CreateUser(name=f"Lin {n}", email="lin@example.com")
            assert json.loads(next(lines)) == {"result": {"id": 3 + n, "name": f"Lin {n}", "email": "lin@example.com"}}


def test_a_watch_that_accepts_an_event_stream_gets_server_sent_events(mesh: Mesh) -> None:
    headers = {"accept": "text/event-stream"}
    with mesh.http("gateway").get("/api/grpc/products:watch", stream=True, headers=headers) as watch:
        assert watch.headers["content-type"].startswith("text/event-stream")
        wait_for_followers(mesh, "product-service")
        mesh.stub("product-service").CreateProduct(name="Desk", price=10.5)
        lines = (line for line in watch.iter_lines() if line)
        assert next(lines) == b'data: {"id":3,"name":"Desk","price":10.5,"description":""}'


def test_a_watch_over_grpc_gets_what_another_way_creates(mesh: Mesh) -> None:
    watch = mesh.stub("user-service").WatchUsers()
    watch.initial_metadata()
    mesh.http("gateway").post("/api/users", json=NEW)
    assert next(watch).name == "Lin"
    watch.cancel()


def test_an_import_over_grpc_answers_each_user_before_the_next_is_sent(mesh: Mesh) -> None:
    sent = []

    def requests() -> Iterator[Any]:
        for n in range(3):
            sent.append(n)
            yield user_pb2.CreateUserRequest(name=f"Lin {n}", email="lin@example.com")

    answers = [(user.id, user.name) for user in mesh.stub("user-service").ImportUsers(requests())]
    assert answers == [(3, "Lin 0"), (4, "Lin 1"), (5, "Lin 2")]


@pytest.mark.parametrize(("service", "path"), [("user-service", "/users"), ("gateway", "/api/grpc/users")])
def test_an_import_over_http_takes_lines_and_ends_with_what_was_wrong(mesh: Mesh, service: str, path: str) -> None:
    lines = [NEW, NEW | {"name": "Bo"}, {"name": "Nobody"}]
    body = "".join(f"{json.dumps(line)}\n" for line in lines)
    said: list[Any] = []
    # After the line with the error the connection is broken off: nobody takes what came for the whole.
    with (
        mesh.http(service).post(f"{path}:import", data=body, stream=True) as answer,
        pytest.raises(requests.exceptions.ChunkedEncodingError),
    ):
        said.extend(map(json.loads, answer.iter_lines(chunk_size=1)))
    assert said == [
        {"result": {"id": 3, "name": "Lin", "email": "lin@example.com"}},
        {"result": {"id": 4, "name": "Bo", "email": "lin@example.com"}},
        {"error": {"code": 3, "message": "email is required", "details": []}},
    ]
    assert len(mesh.http("user-service").get("/users").json()) == 4


def test_an_import_over_grpc_ends_with_the_status_of_what_was_wrong(mesh: Mesh) -> None:
    requests = [user_pb2.CreateUserRequest(name="Lin", email="lin@example.com"), user_pb2.CreateUserRequest(name="x")]
    answers = mesh.stub("user-service").ImportUsers(iter(requests))
    assert next(answers).id == 3
    with pytest.raises(grpc.RpcError) as caught:
        next(answers)
    assert (caught.value.code(), caught.value.details()) == (grpc.StatusCode.INVALID_ARGUMENT, "email is required")


def test_a_repeated_create_with_a_key_is_not_shown_to_watchers_again(mesh: Mesh) -> None:
    with mesh.http("user-service").get("/users:watch", stream=True) as watch:
        lines = watch.iter_lines()
        wait_for_followers(mesh, "user-service")
        for _ in range(2):
            mesh.http("user-service").post("/users", json=NEW, headers={"idempotency-key": "k"})
        mesh.http("user-service").post("/users", json=NEW | {"name": "Bo"})
        assert [json.loads(next(lines))["result"]["name"] for _ in range(2)] == ["Lin", "Bo"]
