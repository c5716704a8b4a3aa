"""`mesh traces`, `mesh trace` and `mesh logs`, on runs that have ended and on one that is being written."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest
from click.testing import CliRunner

from mesh.commands import cli
from mesh.commands.history.recorded import duration, moment
from mesh.control import state
from mesh.control.server import ControlServer
from mesh.errors import UsageError
from mesh.observing.journal import Entry, Line
from mesh.observing.recorder import Recorder
from mesh.observing.runs import RunFile, new_run
from mesh.observing.span import Span
from mesh.store.pb import user_pb2
from tests.support.programs import in_background
from tests.support.supervised import ECHO, gate, supervised

ORDER, SLOW = "0af7651916cd43dd8448eb211c80319c", "1bc" + "0" * 29
NOON = time.mktime((2026, 1, 31, 12, 0, 0, 0, 0, -1))


def span(service: str, span_id: str, parent: str | None, start: float, **changes: object) -> Span:
    given: dict[str, object] = {"kind": "server", "protocol": "http", "method": "GET", "target": "/", "status": "200"}
    given |= {"trace_id": ORDER, "milliseconds": 1.0, "is_root": parent is None} | changes
    return Span(service=service, span_id=span_id, parent_id=parent, start=NOON + start, **given)  # type: ignore[arg-type]


GET_USER = {"protocol": "grpc", "method": "/user.UserService/GetUser", "target": ""}
REQUEST = user_pb2.GetUserRequest(id=1).SerializeToString()
ANSWER = b'{"name": "Ada", "session": {"api_key": "k"}}'

#: An order: gRPC is refused, HTTP answers.
RECORDED: list[Entry] = [
    Line("user-service", "starting", "stdout", NOON - 60),
    span("order-service", "b", "a", 0.002, kind="client", peer="user-service", status="UNAVAILABLE", **GET_USER,
         request=REQUEST, request_size=len(REQUEST)),
    Line("user-service", "looking up 1", "stderr", NOON + 0.006, ORDER, "d", "WARNING"),
    span("user-service", "d", "c", 0.005, target="/users/1?token=abc&page=2", milliseconds=2.0,
         response=ANSWER, response_size=len(ANSWER), response_type="application/json"),
    span("order-service", "c", "a", 0.004, kind="client", peer="user-service", milliseconds=4.0, attempt=2,
         attempt_of="b", way="user-service.grpc UNAVAILABLE -> http"),
    Line("order-service", "stored\x1b[2J", "stdout", NOON + 0.009, ORDER, "a", "INFO"),
    span("order-service", "a", None, 0.0, method="POST", target="/orders", status="201", milliseconds=10.0),
    span("gateway", "s", None, 5.0, trace_id=SLOW, status="503", milliseconds=250.0),
]  # fmt: skip


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / ".mesh" / "run").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    run = RunFile(new_run(tmp_path))
    run.write(list(enumerate(RECORDED, 1)))
    run.close()
    return tmp_path


def mesh(*words: str) -> str:
    result = CliRunner().invoke(cli, words, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def test_a_trace_shows_both_attempts_why_and_the_lines_in_their_place(project: Path) -> None:
    assert mesh("trace", "0af7").splitlines() == [
        f"trace {ORDER}  12:00:00  10.0 ms",
        "",
        "████████████████████      10.0 ms  order-service  POST /orders  201",
        "    ██                     1.0 ms  order-service    -> user-service grpc GetUser  UNAVAILABLE",
        "        ████████           4.0 ms  order-service    user-service.grpc UNAVAILABLE -> http  200",
        "          ████             2.0 ms  user-service     GET /users/1  200",
        "                                   user-service       | WARNING looking up 1",
        r"                                   order-service    | INFO stored\x1b[2J",
    ]


def test_payloads_are_decoded_by_the_contract_and_secrets_are_masked(project: Path) -> None:
    shown = mesh("trace", ORDER, "-v")
    assert '> {"id": 1}' in shown
    assert "> ?token=***&page=2" in shown
    assert '< {"name": "Ada", "session": {"api_key": "***"}}' in shown


def test_names_of_secrets_in_mesh_toml_are_masked_as_well(project: Path) -> None:
    text = '[mesh]\nsecrets = ["name", "PAGE"]\n[services.user-service]\nhttp = { port = 5001, app = "app:app" }\n'
    (project / "mesh.toml").write_text(text)
    shown = mesh("trace", ORDER, "-v")
    assert "> ?token=***&page=***" in shown
    assert '< {"name": "***", "session": {"api_key": "***"}}' in shown
    assert '"target": "/users/1?token=***&page=***"' in mesh("trace", ORDER, "--json")
    assert mesh("traces", "--where", "name=Ada") == ""


def test_a_trace_is_json_with_a_call_or_a_line_in_each(project: Path) -> None:
    events = [json.loads(line) for line in mesh("trace", "0af7", "--json").splitlines()]
    assert [each["event"] for each in events] == ["span", "span", "span", "span", "line", "line"]
    assert [each["service"] for each in events][:2] == ["order-service", "order-service"]


def test_a_trace_whose_outermost_call_is_missing_says_so(project: Path) -> None:
    (file,) = (project / ".mesh" / "runs").glob("*.db")
    run = RunFile(file)
    run.write([(100, span("user-service", "e", "f", 9.0, trace_id="e" * 32, is_root=False))])
    run.close()
    ran = CliRunner().invoke(cli, ["trace", "eeee"])
    assert "user-service  GET /  200" in ran.stdout
    assert ran.stderr == "mesh: the outermost call is missing: it has not ended yet, or was not recorded\n"
    assert CliRunner().invoke(cli, ["trace", "0af7"]).stderr == ""


def test_traces_are_listed_and_chosen_by_service_error_and_duration(project: Path) -> None:
    assert [line.split()[1] for line in mesh("traces").splitlines()] == [ORDER[:12], SLOW[:12]]
    assert "0af7651916cd  order-service    POST /orders" in mesh("traces")
    for words in (["--service", "gateway"], ["--slower", "100"], ["--slower", "0.1s"], ["--tail", "1"]):
        assert [line.split()[1] for line in mesh("traces", *words).splitlines()] == [SLOW[:12]]
    for where in ("api_key=***", "id=1", "name=Ada", "attempt=2"):
        assert [line.split()[1] for line in mesh("traces", "--where", where).splitlines()] == [ORDER[:12]]
    assert [line.split()[1] for line in mesh("traces", "--where", "status=503").splitlines()] == [SLOW[:12]]
    assert mesh("traces", "--where", "name=Grace") == mesh("traces", "--where", "api_key=k") == ""
    facts = [json.loads(line) for line in mesh("traces", "--errors", "--json").splitlines()]
    assert [(each["trace_id"], each["calls"], each["failed"]) for each in facts] == [(ORDER, 2, 1), (SLOW, 1, 1)]


@pytest.mark.parametrize(
    ("words", "texts"),
    [
        ([], ["starting", "looking up 1", r"stored\x1b[2J"]),
        (["order-service"], [r"stored\x1b[2J"]),
        (["--grep", "l.*k"], ["looking up 1"]),
        (["--level", "warning"], ["looking up 1"]),
        (["--trace", "0af7"], ["looking up 1", r"stored\x1b[2J"]),
        (["--since", "2026-01-31T12:00"], ["looking up 1", r"stored\x1b[2J"]),
        (["--since", "3"], [r"stored\x1b[2J"]),
        (["--since", "0"], ["starting", "looking up 1", r"stored\x1b[2J"]),
        (["--tail", "1"], [r"stored\x1b[2J"]),
        (["--run", "1", "user-service", "--trace", "0AF7"], ["looking up 1"]),
        (["gateway"], []),
    ],
)
def test_lines_are_chosen_by_name_text_level_trace_time_and_number(
    project: Path, words: list[str], texts: list[str]
) -> None:
    assert [line.split("  ")[-1].strip() for line in mesh("logs", *words).splitlines()] == texts


def test_a_line_in_json_has_the_cursor_from_which_the_next_ones_follow(project: Path) -> None:
    events = [json.loads(line) for line in mesh("logs", "--json").splitlines()]
    assert [each["cursor"] for each in events] == [1, 3, 6]
    following = mesh("logs", "--json", "--since", str(events[1]["cursor"]))
    assert [json.loads(line) for line in following.splitlines()] == events[2:]


def test_lines_of_a_run_that_goes_on_are_followed(project: Path) -> None:
    command = [sys.executable, "-m", "mesh", "logs", "-f", "--tail", "1"]
    process = subprocess.Popen(command, cwd=project, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        assert "stored" in process.stdout.readline()
        run = RunFile(next((project / ".mesh" / "runs").glob("*.db")))
        run.write([(100, Line("user-service", "new"))])
        run.close()
        assert process.stdout.readline().endswith("  new\n")
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def test_an_unknown_trace_and_a_run_that_is_not_there_are_mistakes_with_a_way_out(project: Path) -> None:
    for words, sentence in (
        (["trace", "ffff"], "no trace ffff is recorded here; `mesh traces` lists those that are"),
        (["traces", "--where", "404"], "--where 404: write a field and its value, such as status=404"),
        (["logs", "--run", "2"], "--run 2: 1 are recorded, 1 is the newest"),
        (["logs", "user-servic"], "no service is named 'user-servic'; did you mean 'user-service'"),
        (["traces", "--service", "shop"], "no service is named 'shop'; known services: gateway, "),
        (["traces", "--slower", "fast"], "--slower fast: write 100ms or 1.5s"),
        (["logs", "--grep", "("], "--grep \\(: missing"),
        (["logs", "--since", "soon"], "--since soon: write 30s, 5m"),
    ):
        with pytest.raises(UsageError, match=sentence):
            CliRunner().invoke(cli, words, catch_exceptions=False)


def test_a_moment_is_an_age_a_time_of_today_or_a_date() -> None:
    assert moment("90s", NOON) == NOON - 90
    assert moment("1.5h", NOON) == NOON - 5400
    assert moment("11:59", NOON) == NOON - 60
    assert moment("11:59:59", NOON) == NOON - 1
    assert moment("2026-01-31T12:00", NOON) == NOON


def test_a_duration_is_in_milliseconds_unless_it_says_seconds() -> None:
    assert (duration("100"), duration("100ms"), duration("1.5s")) == (100.0, 100.0, 1500.0)


CHAIN = """
import asyncio, urllib.request
from mesh import current_service
from tests.support.supervised import gate

def ask():
    address = current_service().directory.address("inner", "http")
    return urllib.request.urlopen(f"http://{address}/", timeout=60).read()

async def app(scope, receive, send):
    if scope["type"] != "http":
        return
    body = await asyncio.to_thread(ask)
    gate("in").set()
    await asyncio.to_thread(gate("out").wait, 60)
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": body})
"""
CHAINED = """
[services.outer]
http = { port = 5001, app = "outer:app" }

[services.inner]
http = { port = 5002, app = "inner:app" }
"""


class Late(Recorder):
    """Lets the outer call end only after the first reader has come."""

    def flush(self, seconds: float = 1.0) -> None:
        super().flush(seconds)
        gate("out").set()


def test_a_trace_of_which_the_outermost_call_has_not_ended_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    recorder = Late(new_run(tmp_path), pytest.fail)
    with (
        supervised(tmp_path, {"mesh.toml": CHAINED, "outer.py": CHAIN, "inner.py": ECHO}) as project,
        closing(ControlServer(project.supervisor, recorder)) as control,
        closing(recorder),
    ):
        project.supervisor.journal.subscribe(recorder)
        control.start()
        state.write(tmp_path, control.running)
        with in_background(lambda: project.get("outer", "/")):
            assert gate("in").wait(60)
            (trace_id,) = {each.trace_id for each in project.supervisor.journal.entries() if isinstance(each, Span)}
            events = [json.loads(line) for line in mesh("trace", trace_id, "--json").splitlines()]
    assert [(each["service"], each["kind"]) for each in events] == [
        ("outer", "server"),
        ("outer", "client"),
        ("inner", "server"),
    ]
