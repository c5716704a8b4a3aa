"""`mesh replay` and `mesh call --trace`, against a mesh that runs in the test's process and is recorded."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing

import pytest
from click.testing import CliRunner, Result

from mesh import Supervisor
from mesh.commands import cli
from mesh.control import state
from mesh.control.server import ControlServer
from mesh.errors import UsageError
from mesh.observing.recorder import Recorder
from mesh.observing.runs import new_run
from mesh.observing.span import Span
from mesh.pytest_plugin import Mesh
from mesh.store.topology import store
from mesh.topology.selection import renumber

ORDER = {"user_id": 1, "product_id": 1, "quantity": 1}


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mesh]:
    folder = tmp_path_factory.mktemp("shop")
    mesh = Mesh(Supervisor(renumber(store(folder), None, True)))
    recorder = Recorder(new_run(folder), pytest.fail)
    mesh.supervisor.journal.subscribe(recorder)
    mesh.supervisor.start()
    with closing(mesh), closing(recorder), closing(ControlServer(mesh.supervisor, recorder)) as control:
        control.start()
        state.write(folder, control.running)
        yield mesh


@pytest.fixture
def shop(running: Mesh, monkeypatch: pytest.MonkeyPatch) -> Mesh:
    running.reset()
    monkeypatch.chdir(running.supervisor.topology.folder)
    return running


def run(*words: str) -> Result:
    return CliRunner().invoke(cli, words, catch_exceptions=False, standalone_mode=False)


def last_trace(mesh: Mesh) -> str:
    return [each.trace_id for each in mesh.supervisor.journal.entries() if isinstance(each, Span)][-1]


def test_a_read_that_is_replayed_is_answered_the_same(shop: Mesh) -> None:
    shop.http("user-service").get("/users/1")
    before = last_trace(shop)
    ran = run("replay", before[:12])
    assert ran.output.splitlines()[0] == "same"
    assert last_trace(shop) != before
    assert f"trace {last_trace(shop)}  " in ran.output
    assert ran.return_value == 0


def test_a_grpc_call_is_replayed_with_its_message(shop: Mesh) -> None:
    shop.stub("user-service").GetUser(id=1)
    facts = json.loads(run("replay", last_trace(shop), "--json").output)
    assert facts["same"] is True
    assert facts["after"] == [
        "user-service grpc GetUser OK",
        '> {"id": 1}',
        '< {"id": 1, "name": "Ada Lovelace", "email": "ada@example.com"}',
    ]


def test_what_a_replay_changes_is_shown_with_the_calls_that_follow(shop: Mesh) -> None:
    shop.http("order-service").post("/orders", json=ORDER)
    trace_id = last_trace(shop)
    shop.reset()
    ran = run("replay", trace_id)
    lines = ran.output.splitlines()
    assert ran.return_value == 1
    assert lines[0] == "  order-service POST /orders 201"
    assert [line[:5] for line in lines if line[0] in "+-"] == ["- < {", "+ < {"]
    assert "    user-service grpc GetUser OK" in lines
    assert "    product-service grpc GetProduct OK" in lines


def test_a_body_that_was_cut_is_not_sent_again(shop: Mesh) -> None:
    shop.http("user-service").post("/users", json={"name": "x" * 20_000, "email": "x@example.com"})
    with pytest.raises(UsageError, match=r"POST /users: only 16384 of 200\d\d bytes of the request are recorded"):
        run("replay", last_trace(shop))


@pytest.mark.parametrize(("user", "status"), [(1, "OK"), (99, "NOT_FOUND")])
def test_a_call_shows_its_trace_however_it_is_answered(shop: Mesh, user: int, status: str) -> None:
    ran = CliRunner().invoke(cli, ["call", "user-service", "GetUser", json.dumps({"id": user}), "--trace"])
    assert f"user-service  grpc GetUser  {status}" in ran.stderr
    assert f"trace {last_trace(shop)}  " in ran.stderr
    assert ran.stdout.startswith('{"id":1,') is (user == 1)
