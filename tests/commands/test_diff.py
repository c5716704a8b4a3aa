"""`mesh diff` and `mesh top`, on runs that have ended."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest
from click.testing import CliRunner

from mesh.commands import cli
from mesh.observing.journal import Entry, Hold
from mesh.observing.runs import RunFile
from mesh.observing.span import Span


def get(number: int, body: object = None, milliseconds: float = 1.0, **changes: object) -> Span:
    """Return the record of `GET /users/{id}`, as answered by `user`."""
    data = json.dumps(body).encode() if body is not None else b""
    given: dict[str, object] = {
        "status": "200",
        "route": "/users/{id}",
        "response": data,
        "response_size": len(data),
        "response_type": "application/json",
        "milliseconds": milliseconds,
        "generation": 1,
        "is_root": True,
    } | changes
    return Span("user", "server", "http", "GET", f"/users/{number}", "t", f"{number}", None, 1.0, **given)  # type: ignore[arg-type]


def call(number: int, parent: int, attempt: int = 1) -> Span:
    span = Span("user", "client", "grpc", "/x.X/Get", "", "t", f"c{number}", f"{parent}", 1.0, status="OK")
    span.attempt = attempt
    return span


def write(folder: Path, name: str, spans: Sequence[Entry]) -> None:
    (folder / ".mesh" / "runs").mkdir(parents=True, exist_ok=True)
    (folder / ".mesh" / "run").mkdir(exist_ok=True)
    run = RunFile(folder / ".mesh" / "runs" / f"{name}.db")
    run.write(list(enumerate(spans, 1)))
    run.close()


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def mesh(*words: str) -> tuple[int, list[str]]:
    ran = CliRunner().invoke(cli, words, catch_exceptions=False, standalone_mode=False)
    return ran.return_value, ran.output.splitlines()


def test_two_runs_that_differ_in_times_and_number_alone_are_the_same(project: Path) -> None:
    write(project, "1", [get(1, {"id": 1}, 2.0), get(2, {"id": 2}, 4.0)])
    write(project, "2", [get(3, {"id": 3}, 8.0)])
    assert mesh("diff") == (0, ["same     user  GET /users/{id}  p50 2.0 -> 8.0 ms  calls 2 -> 1"])


def test_a_status_a_shape_and_the_calls_made_are_differences(project: Path) -> None:
    write(project, "1", [get(1, {"id": 1, "tags": ["a"]}), call(1, 1), get(9, route="/old")])
    write(
        project,
        "2",
        [get(1, {"id": "1", "tags": []}), call(1, 1), call(2, 1), call(3, 1, attempt=2), get(2, status="404")],
    )
    status, lines = mesh("diff")
    assert status == 1
    assert lines == [
        "gone     user  GET /old  calls 1",
        "changed  user  GET /users/{id}  status 200 -> 200, 404  -$.id: number  -$.tags[]: string  +$.id: string  "
        "p50 1.0 -> 1.0 ms  calls 1 -> 2",
    ]
    facts = [json.loads(line) for line in mesh("diff", "--json")[1]]
    assert (facts[1]["state"], facts[1]["statuses"]) == ("changed", [["200"], ["200", "404"]])
    write(project, "3", [get(1, {"id": "1", "tags": []}), call(1, 1)])
    write(project, "4", [get(1, {"id": "1", "tags": []}), call(1, 1), call(2, 1)])
    assert mesh("diff") == (
        1,
        ["changed  user  GET /users/{id}  makes 1 calls -> 2 calls  p50 1.0 -> 1.0 ms  calls 1 -> 1"],
    )


def test_the_code_before_and_after_the_last_reload_is_compared_within_a_run(project: Path) -> None:
    write(project, "1", [get(1, status="500"), get(2, generation=2), get(3, generation=3, status="404")])
    assert mesh("diff", "--reload") == (
        1,
        ["changed  user  GET /users/{id}  status 200 -> 404  p50 1.0 -> 1.0 ms  calls 1 -> 1"],
    )
    assert mesh("diff", "--reload", "--before", "9")[0] == 1


def test_top_sums_up_calls_by_route_the_longest_first(project: Path) -> None:
    spans = [get(number, milliseconds=float(number)) for number in range(1, 101)]
    write(project, "1", [get(0, route="/health"), *spans, get(101, status="500", milliseconds=50.0)])
    assert mesh("top")[1] == [
        "service  route              calls  failed    p50 ms    p95 ms   total ms",
        "user     GET /users/{id}      101       1      50.0      95.0     5100.0",
        "user     GET /health            1       0       1.0       1.0        1.0",
    ]
    assert json.loads(mesh("top", "--json")[1][1]) == {
        "service": "user",
        "route": "GET /health",
        "calls": 1,
        "failed": 0,
        "p50": 1.0,
        "p95": 1.0,
        "total": 1.0,
    }


def test_top_names_what_held_up_others_with_its_share_of_the_time(project: Path) -> None:
    load = Hold("order", "loop", "load", "/shop/orders.py", 12, 200.0, 3.0)
    again = Hold("order", "loop", "load", "/shop/orders.py", 13, 300.0, 6.0)
    parse = Hold("user", "gil", "parse", "/shop/users.py", 7, 1000.0, 11.0)
    write(project, "1", [get(1), load, again, parse])
    assert mesh("top")[1][2:] == [
        "",
        "service  held  where                 times    max ms  total ms  share",
        "user     gil   parse at users.py:7       1    1000.0    1000.0  10.0%",
        "order    loop  load at orders.py:12      2     300.0     500.0   5.0%",
    ]
    assert json.loads(mesh("top", "--json")[1][2]) == {
        "service": "order",
        "held": "loop",
        "function": "load",
        "file": "/shop/orders.py",
        "line": 12,
        "times": 2,
        "max": 300.0,
        "total": 500.0,
        "share": 5.0,
    }
