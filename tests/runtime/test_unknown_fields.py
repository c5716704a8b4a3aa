"""A listener that ignores what its contracts do not know does so for its own contract and for mounted ones."""

from __future__ import annotations

from pathlib import Path

import requests
from msgspec.structs import replace

from mesh import Supervisor
from mesh.store.topology import store
from mesh.topology.selection import renumber

BODY = {"name": "Bo", "email": "bo@example.com", "shoe_size": 44}


def test_an_unknown_field_is_passed_over_where_the_listener_says_so(tmp_path: Path) -> None:
    declared = renumber(store(tmp_path), None, free=True)
    lenient = [
        replace(each, http=replace(each.http, unknown_fields="ignore"))
        if each.http and each.name != "product-service"
        else each
        for each in declared
    ]
    supervisor = Supervisor(declared.with_services(lenient))
    supervisor.start()
    try:
        at = {
            name: f"http://{supervisor.directory.address(name, 'http')}"
            for name in ("gateway", "user-service", "product-service")
        }
        answers = [
            requests.post(url, json=BODY, timeout=10)
            for url in (at["user-service"] + "/users", at["gateway"] + "/api/grpc/users")
        ]
        assert [answer.status_code for answer in answers] == [201, 201]
        refused = requests.post(
            at["product-service"] + "/products", json={"name": "x", "price": 1, "colour": "red"}, timeout=10
        )
        assert refused.status_code == 400
        assert "colour" in refused.json()["message"]
    finally:
        supervisor.stop()
