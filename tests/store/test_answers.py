"""Answers to the guide's curl lines: shapes, statuses, headers and texts, on every way to the same data."""

from __future__ import annotations

import json
import re

import pytest

from mesh.pytest_plugin import Mesh

ADA = {"id": 1, "name": "Ada Lovelace", "email": "ada@example.com"}
GRACE = {"id": 2, "name": "Grace Hopper", "email": "grace@example.com"}
LAPTOP = {"id": 1, "name": "Laptop", "price": 999.99, "description": "Fourteen inches, and quiet"}
MOUSE = {"id": 2, "name": "Mouse", "price": 24.5, "description": "Two buttons and a wheel"}

#: (service, path) of each way to the users and to the products.
USERS = [("gateway", "/api/grpc/users"), ("gateway", "/api/users"), ("user-service", "/users")]
PRODUCTS = [("gateway", "/api/grpc/products"), ("gateway", "/api/products"), ("product-service", "/products")]
ORDERS = [("gateway", "/api/orders"), ("order-service", "/orders")]
SERVICES = ["gateway", "user-service", "product-service", "order-service"]


@pytest.mark.parametrize(("service", "path"), USERS)
def test_users_are_listed_and_found_on_every_way(mesh: Mesh, service: str, path: str) -> None:
    http = mesh.http(service)
    listed, one = http.get(path), http.get(f"{path}/2")
    assert (listed.status_code, listed.json()) == (200, [ADA, GRACE])
    assert (one.status_code, one.json()) == (200, GRACE)
    assert listed.headers["content-type"] == one.headers["content-type"] == "application/json"


@pytest.mark.parametrize(("service", "path"), PRODUCTS)
def test_products_are_listed_and_found_on_every_way(mesh: Mesh, service: str, path: str) -> None:
    http = mesh.http(service)
    assert http.get(path).json() == [LAPTOP, MOUSE]
    assert http.get(f"{path}/1").json() == LAPTOP


@pytest.mark.parametrize(("service", "path"), USERS)
def test_a_created_user_is_201_with_its_location_and_there_on_every_other_way(
    mesh: Mesh, service: str, path: str
) -> None:
    made = mesh.http(service).post(path, json={"name": "Alan Turing", "email": "alan@example.com"})
    assert made.status_code == 201
    assert made.json() == {"id": 3, "name": "Alan Turing", "email": "alan@example.com"}
    assert made.headers["location"] == f"{path}/3"
    assert mesh.http(service).get(made.headers["location"]).json() == made.json()
    assert mesh.stub("user-service").GetUser(id=3).email == "alan@example.com"


@pytest.mark.parametrize(("service", "path"), PRODUCTS)
def test_a_created_product_prints_its_default_values(mesh: Mesh, service: str, path: str) -> None:
    made = mesh.http(service).post(path, json={"name": "Air", "price": 0})
    assert (made.status_code, made.headers["location"]) == (201, f"{path}/3")
    assert made.json() == {"id": 3, "name": "Air", "price": 0, "description": ""}


def test_what_was_made_over_grpc_is_there_over_http(mesh: Mesh) -> None:
    mesh.stub("product-service").CreateProduct(name="Key", price=1.25, description="d")
    assert mesh.http("gateway").get("/api/products/3").json() == {
        "id": 3,
        "name": "Key",
        "price": 1.25,
        "description": "d",
    }


@pytest.mark.parametrize(("service", "path"), ORDERS)
def test_an_order_is_201_with_its_location_and_its_total_to_the_cent(mesh: Mesh, service: str, path: str) -> None:
    http = mesh.http(service)
    made = http.post(path, json={"user_id": 1, "product_id": 1, "quantity": 3})
    assert (made.status_code, made.headers["location"]) == (201, f"{path}/1")
    order = made.json()
    assert list(order) == ["id", "user_id", "product_id", "quantity", "total_price", "status", "created_at"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+00:00", order.pop("created_at"))
    expected = {"id": 1, "user_id": 1, "product_id": 1, "quantity": 3, "total_price": 2999.97, "status": "created"}
    assert order == expected
    assert '"total_price":2999.97,' in made.text
    assert http.get(f"{path}/1").json() == made.json()
    assert http.get(path).json() == [made.json()]


@pytest.mark.parametrize(("service", "path", "noun"), [
    *((service, path, "user") for service, path in USERS),
    *((service, path, "product") for service, path in PRODUCTS),
    *((service, path, "order") for service, path in ORDERS),
])  # fmt: skip
def test_what_does_not_exist_is_404_naming_it(mesh: Mesh, service: str, path: str, noun: str) -> None:
    answer = mesh.http(service).get(f"{path}/99")
    assert answer.status_code == 404
    assert answer.text == '{"code":5,"message":"' + noun + ' 99 does not exist","details":[]}'


@pytest.mark.parametrize(("body", "message"), [
    ({"user_id": 99, "product_id": 1, "quantity": 1}, "user 99 does not exist"),
    ({"user_id": 1, "product_id": 99, "quantity": 1}, "product 99 does not exist"),
    ({"user_id": 98, "product_id": 99, "quantity": 1}, "user 98 does not exist"),
])  # fmt: skip
def test_an_order_of_what_does_not_exist_is_404_naming_it(mesh: Mesh, body: dict[str, int], message: str) -> None:
    answer = mesh.http("gateway").post("/api/orders", json=body)
    assert (answer.status_code, answer.json()) == (404, {"code": 5, "message": message, "details": []})
    assert mesh.http("gateway").get("/api/orders").json() == []


@pytest.mark.parametrize("service", SERVICES)
def test_every_service_says_that_it_is_well(mesh: Mesh, service: str) -> None:
    answer = mesh.http(service).get("/health")
    assert (answer.status_code, answer.text) == (200, '{"status":"SERVING"}')


def test_the_gateway_says_what_there_is_and_every_path_of_it_answers(mesh: Mesh) -> None:
    mesh.http("gateway").post("/api/orders", json={"user_id": 1, "product_id": 2, "quantity": 1})
    index = mesh.http("gateway").get("/").json()
    paths = [path for group in index["endpoints"].values() for path in group]
    assert len(paths) == 14
    statuses = {path: mesh.http("gateway").get(path.replace("{id}", "1")).status_code for path in paths}
    assert set(statuses.values()) == {200}, statuses


def test_both_ports_of_the_gateway_answer(mesh: Mesh) -> None:
    first, second = mesh.supervisor.snapshot["gateway"].http
    answers = [mesh.http("gateway").get(f"http://{address}/api/grpc/users/1").json() for address in (first, second)]
    assert answers == [ADA, ADA]


def test_the_gateway_says_how_each_service_was_asked(mesh: Mesh) -> None:
    gateway = mesh.http("gateway")
    made = gateway.post("/api/orders", json={"user_id": 1, "product_id": 1, "quantity": 1})
    entries = sorted(re.sub(r"dur=\d+\.\d$", "dur=N", each) for each in made.headers["server-timing"].split(", "))
    assert entries == [
        'order-service;desc="http";dur=N',
        'product-service;desc="grpc";dur=N',
        'user-service;desc="grpc";dur=N',
    ]
    over_grpc, over_http = gateway.get("/api/grpc/users/1"), gateway.get("/api/users/1")
    assert over_grpc.headers["server-timing"].startswith('user-service;desc="grpc";dur=')
    assert over_http.headers["server-timing"].startswith('user-service;desc="http";dur=')


@pytest.mark.parametrize(("service", "path"), [*USERS[1:], *ORDERS, USERS[0]])
def test_another_method_on_a_known_path_is_405_with_what_is_allowed(mesh: Mesh, service: str, path: str) -> None:
    http = mesh.http(service)
    for method in ("DELETE", "PUT", "PATCH", "TRACE", "MKCOL"):
        answer = http.request(method, path)
        assert answer.status_code == 405, method
        assert set(answer.headers["allow"].split(", ")) >= {"GET", "POST"}
        assert answer.json()["code"] == 12
    assert http.post(f"{path}/1").status_code == 405
    options = http.options(path)
    assert (options.status_code, options.content) == (204, b"")
    assert set(options.headers["allow"].split(", ")) >= {"GET", "POST"}


@pytest.mark.parametrize(("service", "path"), [*USERS, *ORDERS, ("gateway", "/"), ("user-service", "/health")])
def test_head_is_get_without_the_body(mesh: Mesh, service: str, path: str) -> None:
    http = mesh.http(service)
    head, get = http.head(path), http.get(path)
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-length"] == get.headers["content-length"] == str(len(get.content))


@pytest.mark.parametrize("tail", ["/", "//1", "/./1", "/../products/1", "/%2e%2e/products/1", "/1/", "/1/2"])
@pytest.mark.parametrize(("service", "path"), [*USERS, *ORDERS])
def test_a_path_that_is_not_quite_one_is_404_and_never_another_routes_data(
    mesh: Mesh, service: str, path: str, tail: str
) -> None:
    import http.client

    address = mesh.address(f"{service}.http")
    # Not a session: requests would tidy the path up before sending it.
    connection = http.client.HTTPConnection(address.host, address.port, timeout=10)
    for method in ("GET", "POST"):
        connection.request(method, path + tail, body=b"{}" if method == "POST" else None)
        answer = connection.getresponse()
        content = answer.read()
        assert answer.status in (400, 404), (method, content)
        assert json.loads(content)["message"]
    connection.close()


def test_the_same_user_created_twice_is_two_users_on_both_protocols(mesh: Mesh) -> None:
    twin = {"name": "Twin", "email": "twin@example.com"}
    over_http = [mesh.http("gateway").post("/api/users", json=twin).json()["id"] for _ in range(2)]
    over_grpc = [mesh.stub("user-service").CreateUser(**twin).id for _ in range(2)]
    assert over_http + over_grpc == [3, 4, 5, 6]


@pytest.mark.parametrize("text", ["Zoë 🦊 \u202e", "a\x00b", 'tab\t nl\n "quotes" \\ %s {}', "é" * 1000, "e\u0301"])
def test_text_comes_back_as_it_was_sent(mesh: Mesh, text: str) -> None:
    made = mesh.http("gateway").post("/api/grpc/users", json={"name": text, "email": f"{text}@x"})
    assert made.status_code == 201
    assert made.json() == {"id": 3, "name": text, "email": f"{text}@x"}
    assert mesh.http("user-service").get("/users/3").json()["name"] == text
    assert mesh.stub("user-service").GetUser(id=3).name == text
