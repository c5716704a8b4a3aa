"""A request sent twice with one idempotency key is done once, whichever way it comes."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest

from mesh.pytest_plugin import Mesh
from mesh.store.pb import user_pb2

ORDER = {"user_id": 1, "product_id": 1, "quantity": 3}
KEY = {"idempotency-key": "key-1"}


def test_the_same_order_sent_twice_with_one_key_is_one_order(mesh: Mesh) -> None:
    gateway = mesh.http("gateway")
    answers = [gateway.post("/api/orders", json=ORDER, headers=KEY) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [201, 201]
    assert answers[0].json() == answers[1].json()
    assert [order["id"] for order in gateway.get("/api/orders").json()] == [1]


def test_twenty_at_once_with_one_key_are_one_order(mesh: Mesh) -> None:
    def order(_: int) -> int:
        return int(mesh.http("order-service").post("/orders", json=ORDER, headers=KEY).json()["id"])

    with ThreadPoolExecutor(20) as pool:
        assert set(pool.map(order, range(20))) == {1}
    assert len(mesh.http("order-service").get("/orders").json()) == 1


def test_another_order_with_a_known_key_is_409(mesh: Mesh) -> None:
    mesh.http("gateway").post("/api/orders", json=ORDER, headers=KEY)
    answer = mesh.http("gateway").post("/api/orders", json=ORDER | {"quantity": 4}, headers=KEY)
    assert answer.status_code == 409
    assert answer.json() == {
        "code": 6,
        "message": "idempotency-key 'key-1' was already used for another request",
        "details": [],
    }


def test_a_user_created_over_grpc_and_again_over_http_with_one_key_is_one_user(mesh: Mesh) -> None:
    request = user_pb2.CreateUserRequest(name="Lin", email="lin@example.com")
    user = mesh.stub("user-service").CreateUser(request, metadata=list(KEY.items()))
    ways = ["/api/users", "/api/grpc/users"]
    again = [
        mesh.http("gateway").post(way, json={"name": "Lin", "email": "lin@example.com"}, headers=KEY) for way in ways
    ]
    assert [answer.json()["id"] for answer in again] == [user.id, user.id]
    assert len(mesh.http("user-service").get("/users").json()) == 3


def test_another_product_with_a_known_key_is_already_exists_over_grpc(mesh: Mesh) -> None:
    stub = mesh.stub("product-service")
    stub.CreateProduct(name="Desk", price=1.0, metadata=list(KEY.items()))
    with pytest.raises(grpc.RpcError) as caught:
        stub.CreateProduct(name="Desk", price=2.0, metadata=list(KEY.items()))
    assert caught.value.code() is grpc.StatusCode.ALREADY_EXISTS


def test_without_a_key_the_same_user_is_created_twice(mesh: Mesh) -> None:
    stub = mesh.stub("user-service")
    assert [stub.CreateUser(name="Lin", email="lin@example.com").id for _ in range(2)] == [3, 4]
