"""`mesh parity` finds every difference between a contract's two transports, and nothing where they agree."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from mesh.calling.parity import compare
from mesh.pytest_plugin import Mesh
from mesh.topology.model import Address


def asked(mesh: Mesh, service: str, given: Any = None) -> Any:
    http, grpc = mesh.address(f"{service}.http"), mesh.address(f"{service}.grpc")
    return list(compare(service, http, grpc, given or {}))


def test_the_store_answers_every_read_alike_on_both_ways(mesh: Mesh) -> None:
    found = asked(mesh, "user-service")
    assert [(each.method, each.request, each.code, each.differences) for each in found] == [
        ("ListUsers", "{}", "OK", ()),
        ("GetUser", '{"id":1}', "OK", ()),
        ("GetUser", '{"id":2}', "OK", ()),
        ("GetUser", "{}", "NOT_FOUND", ()),
    ]


def test_a_given_request_is_asked_in_the_place_of_made_ones(mesh: Mesh) -> None:
    found = asked(mesh, "product-service", {"GetProduct": '{"id": 2}'})
    assert [each.request for each in found if each.method == "GetProduct"] == ['{"id":2}']


@pytest.fixture
def other_http() -> Iterator[Address]:
    """A server that answers every GET with another user than the store's."""

    class Other(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("content-type", "application/json")
            self.end_headers()
            self.wfile.write(b'{"id":1,"name":"Somebody","email":"ada@example.com"}')

        def log_message(self, *arguments: Any) -> None:
            pass

    server = http.server.HTTPServer(("127.0.0.1", 0), Other)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield Address("127.0.0.1", server.server_port)
    server.shutdown()
    thread.join()
    server.server_close()


def test_another_body_and_another_status_are_told(mesh: Mesh, other_http: Address) -> None:
    grpc = mesh.address("user-service.grpc")
    found = {each.request: each for each in compare("user-service", other_http, grpc, {}) if each.method == "GetUser"}
    assert found['{"id":1}'].differences == (
        'body: {"id": 1, "name": "Ada Lovelace", "email": "ada@example.com"} '
        '!= {"id": 1, "name": "Somebody", "email": "ada@example.com"}',
    )
    assert found["{}"].differences[0] == "status: 404 != 200"
