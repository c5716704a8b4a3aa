"""The control API on what is recorded: pages, a stream of events, and metrics."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack, closing
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
import requests

from mesh.control.server import ControlServer
from mesh.observing.recorder import Recorder
from mesh.observing.runs import new_run
from tests.support.supervised import ECHO, Project, supervised

DECLARED = '[mesh]\nsecrets = ["pin"]\n[services.echo]\nhttp = { port = 5001, app = "echo:app" }\n'


class Client:
    """A client with the token, of a mesh whose service `echo` it calls as well."""

    def __init__(self, project: Project, control: ControlServer, recorder: Recorder) -> None:
        self._project = project
        self._url = control.running.url
        self._recorder = recorder
        self._session = requests.Session()
        self._session.trust_env = False
        self._session.headers["authorization"] = f"Bearer {control.running.token}"

    def call(self, path: str) -> None:
        self._project.get("echo", path)
        self._recorder.flush(60)

    def get(self, path: str, **options: Any) -> requests.Response:
        return self._session.get(f"{self._url}{path}", timeout=60, **options)

    def events(self, path: str, **headers: str) -> Iterator[tuple[int, dict[str, Any]]]:
        """Yield the id and the data of each event of a stream that does not end."""
        number = 0
        with self.get(path, stream=True, headers=headers) as answer:
            assert answer.headers["content-type"].startswith("text/event-stream")
            for line in answer.iter_lines(chunk_size=1):
                name, _, value = line.decode().partition(": ")
                if name == "id":
                    number = int(value)
                elif name == "data":
                    yield number, json.loads(value)

    def close(self) -> None:
        self._session.close()


@pytest.fixture
def client(tmp_path: Path) -> Iterator[Client]:
    with supervised(tmp_path, {"mesh.toml": DECLARED, "echo.py": ECHO}) as project:
        recorder = Recorder(new_run(tmp_path), pytest.fail)
        project.supervisor.journal.subscribe(recorder)
        with closing(recorder), closing(ControlServer(project.supervisor, recorder)) as control:
            control.start()
            with closing(Client(project, control, recorder)) as made:
                yield made


def test_secrets_are_masked_by_the_names_that_mesh_toml_adds_too(client: Client) -> None:
    client.call("/one?pin=1234&token=abc&page=2")
    (target,) = {each["target"] for each in client.get("/api/entries").json()["entries"] if each["event"] == "span"}
    assert target == "/one?pin=***&token=***&page=2"
    assert next(data for _, data in client.events("/api/events") if data["event"] == "span")["target"] == target


def test_pages_follow_one_another_by_their_cursors(client: Client) -> None:
    for number in range(5):
        client.call(f"/{number}")
    seen: list[str] = []
    cursor = 0
    while True:
        page = client.get(f"/api/entries?after={cursor}&limit=2").json()
        if not page["entries"]:
            break
        assert len(page["entries"]) <= 2
        seen += [each["target"] for each in page["entries"] if each["event"] == "span"]
        cursor = page["next"]
    assert seen == ["/0", "/1", "/2", "/3", "/4"]
    assert client.get(f"/api/entries?after={cursor}").json() == {"entries": [], "next": cursor}


def test_a_cursor_that_is_no_number_is_refused(client: Client) -> None:
    answer = client.get("/api/entries?after=x")
    assert (answer.status_code, answer.json()["message"]) == (400, "after=x is not a number")


def test_a_stream_goes_on_with_what_comes_and_again_where_it_broke_off(client: Client) -> None:
    client.call("/first")
    events = client.events("/api/events")
    cursor, first = next(events)
    client.call("/second")
    later, second = next(events)
    events.close()  # type: ignore[attr-defined]  # a generator
    assert (first["target"], second["target"]) == ("/first", "/second")
    assert later > cursor
    again = client.events("/api/events", **{"last-event-id": str(cursor)})
    assert next(again) == (later, second)
    again.close()  # type: ignore[attr-defined]  # as above


def test_fifty_readers_that_do_not_read_hold_up_neither_calls_nor_another_reader(client: Client) -> None:
    with ExitStack() as stack:
        for _ in range(50):
            # It asks for everything, and reads the head at most.
            stack.enter_context(client.get("/api/events", stream=True))
        for number in range(100):
            client.call(f"/{number}?{'x' * 4000}")
        seen = (data["target"] for _, data in client.events("/api/events") if data["event"] == "span")
        assert [each.partition("?")[0] for each in islice(seen, 100)] == [f"/{number}" for number in range(100)]
        assert client.get("/api/state").json()["phase"] == "running"


def test_metrics_count_calls_by_service_method_and_status(client: Client) -> None:
    client.call("/a")
    client.call("/b")
    lines = client.get("/metrics").text.splitlines()
    labels = '{service="echo",protocol="http",method="GET",route="",status="200"}'
    assert f"mesh_call_duration_seconds_count{labels} 2" in lines
    assert any(line.startswith(f"mesh_call_duration_seconds_sum{labels} 0.") for line in lines)
    assert 'mesh_calls_in_flight{service="echo"} 0' in lines
    assert 'mesh_service_ready{service="echo"} 1' in lines
