"""An order whose user service has its gRPC port closed: `mesh trace` shows what happened, now and afterwards."""

from __future__ import annotations

import re
from signal import SIGINT, SIGKILL

import pytest
import requests

from tests.support.programs import Shell, Up

FILES = {
    "shop.py": """\
        from pathlib import Path

        from mesh import Http, Service, Topology
        from mesh.store.topology import store

        front = Service("front", http=Http((5009,), app="front:app"), depends_on=("order-service",), root=Path("."))
        topology = Topology("shop", *store().services, front, protos=store().protos, descriptors=store().descriptors)
        """,
    "front.py": """\
        import requests
        from flask import Flask
        from mesh import current_service

        app = Flask(__name__)


        @app.post("/buy")
        def buy():
            print("buying")
            address = current_service().directory.address("order-service", "http")
            order = {"user_id": 1, "product_id": 1, "quantity": 1}
            answer = requests.post(f"http://{address}/orders", json=order, timeout=60)
            print("bought")
            return answer.json()
        """,
}


def order(mesh: Up) -> None:
    with requests.Session() as session:
        session.trust_env = False
        assert session.post(f"{mesh.http('front')}/buy", timeout=60).json()["total_price"] == 999.99


def rows(shell: Shell, *options: str) -> list[str]:
    """Return the rows of the newest trace, without bars and times."""
    listed = shell.run("traces", "--json").out[-1]
    trace_id = re.search(r'"trace_id": "(\w+)"', listed)
    assert trace_id is not None
    shown = shell.run("trace", trace_id[1], *options)
    return [re.sub(r"^[█░ ]*(\d+\.\d ms)? *", "", line).rstrip() for line in shown.out[2:]]


EXPECTED = [
    "front            POST /buy  200",
    "front              | buying",
    "order-service      POST /orders  201",
    "order-service        -> user-service grpc GetUser  UNAVAILABLE",
    "order-service        user-service.grpc UNAVAILABLE -> http  200",
    "user-service         GET /users/1  200",
    "product-service      grpc GetProduct  OK",
    "front              | bought",
]


@pytest.mark.parametrize("number", [SIGINT, SIGKILL], ids=["ended", "killed"])
def test_both_attempts_why_payloads_and_lines_are_shown_while_mesh_runs_and_after_its_end(
    shell: Shell, number: int
) -> None:
    shell.write(FILES)
    up = shell.up("shop.py:topology", "--memory", "--free-ports", "--except", "user-service.grpc")
    order(up)
    during = rows(shell)
    assert during[0] == EXPECTED[0]
    # What order-service asks for goes on at the same time: its rows may come in another order.
    assert sorted(during) == sorted(EXPECTED)
    assert during.index(EXPECTED[3]) < during.index(EXPECTED[4]) < during.index(EXPECTED[5])
    assert (during[1], during[-1]) == (EXPECTED[1], EXPECTED[-1])
    up.end(number)  # type: ignore[arg-type]
    assert rows(shell) == during
    with_payloads = "\n".join(rows(shell, "-v"))
    for payload in ('> {"user_id": 1, "product_id": 1, "quantity": 1}', '> {"id": 1}', '< {"id": 1, "name": "Ada'):
        assert payload in with_payloads
