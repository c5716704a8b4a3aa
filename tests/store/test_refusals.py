"""Requests that the store refuses: each is 400 naming what is wrong with it, and leaves nothing stored."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest

from mesh.pytest_plugin import Mesh

#: (service, path, a body that is accepted): each way by which something is created.
USER = {"name": "N", "email": "n@x"}
PRODUCT = {"name": "N", "price": 1}
ORDER = {"user_id": 1, "product_id": 1, "quantity": 1}
CREATED = [
    ("gateway", "/api/grpc/users", USER),
    ("gateway", "/api/users", USER),
    ("user-service", "/users", USER),
    ("gateway", "/api/grpc/products", PRODUCT),
    ("product-service", "/products", PRODUCT),
    ("gateway", "/api/orders", ORDER),
    ("order-service", "/orders", ORDER),
]
FOUND = [(service, path) for service, path, _ in CREATED]

NO_JSON = {
    "cut_object": b'{"name":"N","email":"n@x"',
    "cut_string": b'{"name":"N',
    "cut_array": b"[1,2",
    "trailing_comma": b'{"name":"N","email":"n@x",}',
    "single_quotes": b"{'name':'N','email':'n@x'}",
    "no_quotes": b'{name:"N"}',
    "two_values": b"{}{}",
    "comment": b'{"name":"N"/*c*/,"email":"n@x"}',
    "capitals": b'{"name":True}',
    "leading_zero": b'{"user_id":01}',
    "plus": b'{"user_id":+1}',
    "hexadecimal": b'{"user_id":0x1}',
    "bare_point": b'{"price":1.}',
    "bare_exponent": b'{"price":1e}',
    "NaN": b'{"name":"N","price":NaN}',
    "Infinity": b'{"name":"N","price":Infinity}',
    "minus_Infinity": b'{"name":"N","price":-Infinity}',
    "1e400": b'{"name":"N","price":1e400}',
    "newline_in_string": b'{"name":"a\nb"}',
    "bad_escape": b'{"name":"\\x41"}',
    "cut_unicode_escape": b'{"name":"\\u00"}',
    "bare_word": b"hello",
    "nul_byte": b"\x00",
    "array": b"[]",
    "array_of_one": b'[{"name":"N","email":"n@x"}]',
    "null": b"null",
    "number": b"1",
    "string": b'"N"',
    "true": b"true",
    "lone_surrogate": b'{"name":"\\ud800","email":"n@x"}',
    "swapped_surrogates": b'{"name":"\\udc00\\ud800","email":"n@x"}',
    "latin_1": '{"name":"Zoë","email":"n@x"}'.encode("latin-1"),
    "overlong_utf_8": b'{"name":"\xc0\xaf","email":"n@x"}',
    "utf_8_surrogate": b'{"name":"\xed\xa0\x80","email":"n@x"}',
    "utf_16": '{"name":"N","email":"n@x"}'.encode("utf-16"),
    "utf_16_le": '{"name":"N","email":"n@x"}'.encode("utf-16-le"),
    "byte_order_mark": '{"name":"N","email":"n@x"}'.encode("utf-8-sig"),
    "same_name_twice": b'{"name":"N","name":"M","email":"n@x","user_id":1,"user_id":2}',
}


def stored(mesh: Mesh) -> list[int]:
    """Return how many users, products and orders there are."""
    return [len(mesh.http("gateway").get(f"/api/{noun}").json()) for noun in ("users", "products", "orders")]


@pytest.mark.parametrize(("service", "path"), FOUND)
def test_what_is_no_json_object_is_400_without_a_call(mesh: Mesh, service: str, path: str) -> None:
    for name, body in NO_JSON.items():
        answer = mesh.http(service).post(path, data=body, headers={"content-type": "application/json"})
        assert answer.status_code == 400, (name, answer.text)
        assert answer.headers["content-type"] == "application/json"
        error = answer.json()
        assert (error["code"], error["details"]) == (3, []), name
        assert "Traceback" not in error["message"]
        assert "grpc" not in answer.headers.get("server-timing", ""), name
    assert stored(mesh) == [2, 2, 0]


@pytest.mark.parametrize(("service", "path"), FOUND)
@pytest.mark.parametrize("opening", [b"[", b'{"a":'])
def test_deep_nesting_is_400(mesh: Mesh, service: str, path: str, opening: bytes) -> None:
    for depth in (101, 1_000, 100_000):
        closing = (b"]" if opening == b"[" else b"}") * depth
        answer = mesh.http(service).post(path, data=opening * depth + closing)
        assert answer.status_code == 400
        assert answer.json()["message"] == "the body is nested deeper than 100 levels"


@pytest.mark.parametrize("body", [b"", b" \n\t", b"{}"])
@pytest.mark.parametrize(("service", "path"), FOUND)
def test_an_empty_or_blank_body_says_nothing_as_an_empty_object_does(
    mesh: Mesh, service: str, path: str, body: bytes
) -> None:
    answer = mesh.http(service).post(path, data=body)
    first = "user_id" if "orders" in path else "name"
    assert (answer.status_code, answer.json()) == (400, {"code": 3, "message": f"{first} is required", "details": []})


@pytest.mark.parametrize("content_type", ["application/json; charset=utf-8", "text/plain", "application/x-foo", None])
@pytest.mark.parametrize(("service", "path", "body"), CREATED)
def test_any_content_type_is_taken_for_json(
    mesh: Mesh, service: str, path: str, body: dict[str, object], content_type: str | None
) -> None:
    answer = mesh.http(service).post(path, json=body, headers={"content-type": content_type})
    assert answer.status_code == 201, answer.text


@pytest.mark.parametrize(("service", "path", "body"), CREATED)
def test_an_unknown_field_is_400_naming_it(mesh: Mesh, service: str, path: str, body: dict[str, object]) -> None:
    answer = mesh.http(service).post(path, json=body | {"colour": "red"})
    assert answer.status_code == 400
    assert "colour" in answer.json()["message"]
    assert stored(mesh) == [2, 2, 0]


WRONG_USERS = [
    ({"email": "n@x"}, "name is required"),
    ({"name": "", "email": "n@x"}, "name is required"),
    ({"name": " \t", "email": "n@x"}, "name is required"),
    ({"name": None, "email": "n@x"}, "name is required"),
    ({"name": "N"}, "email is required"),
    ({"name": "N", "email": ""}, "email is required"),
    ({"name": "N", "email": "n.x"}, "email: 'n.x' has no @"),
]
WRONG_PRODUCTS = [
    ({"price": 1}, "name is required"),
    ({"name": "N"}, "price is required"),
    ({"name": "N", "price": None}, "price is required"),
    ({"name": "N", "price": -0.01}, "price: -0.01 is not a finite number from 0 up"),
    ({"name": "N", "price": "NaN"}, "price: nan is not a finite number from 0 up"),
    ({"name": "N", "price": "Infinity"}, "price: inf is not a finite number from 0 up"),
    ({"name": "N", "price": "-Infinity"}, "price: -inf is not a finite number from 0 up"),
]
_RANGE = "is not a whole number from -2147483648 to 2147483647"
_COUNT = "is not a whole number from 1 to 2147483647"
WRONG_ORDERS = [
    ({"product_id": 1, "quantity": 1}, "user_id is required"),
    ({"user_id": 1, "quantity": 1}, "product_id is required"),
    ({"user_id": 1, "product_id": 1}, "quantity is required"),
    (ORDER | {"user_id": None}, "user_id is required"),
    (ORDER | {"user_id": "1"}, f"user_id: '1' {_RANGE}"),
    (ORDER | {"user_id": 1.5}, f"user_id: 1.5 {_RANGE}"),
    (ORDER | {"user_id": True}, f"user_id: True {_RANGE}"),
    (ORDER | {"user_id": [1]}, f"user_id: [1] {_RANGE}"),
    (ORDER | {"user_id": 2**31}, f"user_id: 2147483648 {_RANGE}"),
    (ORDER | {"product_id": 2**63}, f"product_id: 9223372036854775808 {_RANGE}"),
    (ORDER | {"product_id": -(2**31) - 1}, f"product_id: -2147483649 {_RANGE}"),
    (ORDER | {"quantity": 0}, f"quantity: 0 {_COUNT}"),
    (ORDER | {"quantity": -1}, f"quantity: -1 {_COUNT}"),
    (ORDER | {"quantity": 2**64}, f"quantity: 18446744073709551616 {_COUNT}"),
    (ORDER | {"quantity": 1e308}, f"quantity: 1e+308 {_COUNT}"),
    (ORDER | {"quantity": 0.1}, f"quantity: 0.1 {_COUNT}"),
]


@pytest.mark.parametrize(("service", "path", "cases"), [
    *((service, path, WRONG_USERS) for service, path in FOUND[:3]),
    *((service, path, WRONG_PRODUCTS) for service, path in FOUND[3:5]),
    *((service, path, WRONG_ORDERS) for service, path in FOUND[5:]),
])  # fmt: skip
def test_what_is_required_is_asked_for_by_name(
    mesh: Mesh, service: str, path: str, cases: list[tuple[dict[str, object], str]]
) -> None:
    for body, message in cases:
        answer = mesh.http(service).post(path, json=body)
        assert (answer.status_code, answer.json()) == (400, {"code": 3, "message": message, "details": []})
    assert stored(mesh) == [2, 2, 0]


@pytest.mark.parametrize(("service", "path", "field", "value"), [
    ("gateway", "/api/grpc/users", "name", 1),
    ("gateway", "/api/users", "email", ["a@b"]),
    ("user-service", "/users", "name", {"first": "N"}),
    ("user-service", "/users", "name", True),
    ("gateway", "/api/grpc/products", "price", "cheap"),
    ("gateway", "/api/products", "price", [1]),
    ("product-service", "/products", "price", True),
    ("product-service", "/products", "description", 3.5),
])  # fmt: skip
def test_a_value_of_the_wrong_type_is_400_naming_its_field(
    mesh: Mesh, service: str, path: str, field: str, value: object
) -> None:
    body: dict[str, object] = {**(USER if "users" in path else PRODUCT), field: value}
    answer = mesh.http(service).post(path, json=body)
    assert (answer.status_code, answer.json()["code"]) == (400, 3)
    assert field in answer.json()["message"]
    assert stored(mesh) == [2, 2, 0]


@pytest.mark.parametrize(("service", "path"), [
    ("gateway", "/api/grpc/users"),
    ("gateway", "/api/users"),
    ("product-service", "/products"),
    ("gateway", "/api/orders"),
    ("order-service", "/orders"),
])  # fmt: skip
def test_an_id_in_the_path_is_400_when_it_is_none_and_404_when_it_is_nobodys(
    mesh: Mesh, service: str, path: str
) -> None:
    http = mesh.http(service)
    statuses = {
        text: http.get(f"{path}/{text}").status_code
        for text in ("2147483647", "2147483648", "9223372036854775808", "18446744073709551616", "9" * 5000)
    }
    assert list(statuses.values()) == [404, 400, 400, 400, 400]
    assert http.get(f"{path}/0").status_code == 404
    for text in ("x", "1.5", "1e0x", "1%20", "%00", "٣", "%D9%A3", "true", "null", "''"):
        answer = http.get(f"{path}/{text}")
        assert answer.status_code == 400, text
        assert answer.json()["code"] == 3
    # An int32 may be negative; an order's id may not.
    assert http.get(f"{path}/-1").status_code == (400 if "orders" in path else 404)


def test_a_grpc_client_is_refused_as_an_http_client_is(mesh: Mesh) -> None:
    import grpc

    cases: list[tuple[Callable[[], Any], str]] = [
        (lambda: mesh.stub("user-service").CreateUser(email="n@x"), "name is required"),
        (lambda: mesh.stub("user-service").CreateUser(name="N", email="n"), "email: 'n' has no @"),
        (lambda: mesh.stub("product-service").CreateProduct(name="N"), "price is required"),
        (
            lambda: mesh.stub("product-service").CreateProduct(name="N", price=math.inf),
            "price: inf is not a finite number from 0 up",
        ),
    ]
    for ask, message in cases:
        with pytest.raises(grpc.RpcError) as caught:
            ask()
        assert (caught.value.code(), caught.value.details()) == (grpc.StatusCode.INVALID_ARGUMENT, message)
    assert stored(mesh) == [2, 2, 0]


@pytest.mark.parametrize(("price", "quantity", "total"), [
    ("0.3", 3, 0.9),
    ("0.1", 3, 0.3),
    ("1.005", 1, 1.01),
    ("2.675", 1, 2.68),
    ("0", 2147483647, 0),
    ("999.99", 3, 2999.97),
    ("0.01", 2147483647, 21474836.47),
    ("1e-7", 1, 0),
    ("9999999999999.99", 1, 9999999999999.99),
])  # fmt: skip
def test_a_total_is_the_decimal_product_to_the_cent(mesh: Mesh, price: str, quantity: int, total: float) -> None:
    gateway = mesh.http("gateway")
    assert gateway.post("/api/grpc/products", data=f'{{"name":"N","price":{price}}}').status_code == 201
    made = gateway.post("/api/orders", json={"user_id": 1, "product_id": 3, "quantity": quantity})
    assert (made.status_code, made.json()["total_price"]) == (201, total)


@pytest.mark.parametrize(("price", "quantity"), [("1e308", 1), ("1e308", 2147483647), ("9999999999", 2147483647)])
def test_a_total_too_large_to_be_exact_is_400(mesh: Mesh, price: str, quantity: int) -> None:
    gateway = mesh.http("gateway")
    assert gateway.post("/api/grpc/products", data=f'{{"name":"N","price":{price}}}').status_code == 201
    made = gateway.post("/api/orders", json={"user_id": 1, "product_id": 3, "quantity": quantity})
    assert made.status_code == 400
    assert made.json()["message"].startswith(f"quantity: the total of {quantity} x ")
    assert stored(mesh) == [2, 3, 0]


@pytest.mark.parametrize(("service", "path", "body"), CREATED)
def test_a_body_over_four_mebibytes_is_413_and_others_are_served_meanwhile(
    mesh: Mesh, service: str, path: str, body: dict[str, object]
) -> None:
    http = mesh.http(service)
    announced = http.post(path, data=b" " * (4 * 1024 * 1024 + 1))
    chunks = (b" " * 65536 for _ in range(100))
    unannounced = http.post(path, data=chunks)
    for answer in (announced, unannounced):
        assert (answer.status_code, answer.json()["code"]) == (413, 3)
        assert answer.json()["message"] == "the body is larger than 4194304 bytes"
    assert http.post(path, json=body).status_code == 201
