"""One service's trouble does not affect the others, and a stopped service leaves nothing behind."""

from __future__ import annotations

import contextlib
import json
import os
import threading
from pathlib import Path

import pytest
import requests

from mesh.observing.journal import Line
from mesh.runtime.messages import ServiceCommand, Stop
from mesh.runtime.options import Options
from tests.support.supervised import ECHO, PATIENCE, Project, gate, supervised

TWO = """\
    [services.troubled]
    root = "troubled"
    http = { port = 0, app = "app:app" }

    [services.quiet]
    root = "quiet"
    http = { port = 0, app = "app:app" }
    """


def two(troubled: str) -> dict[str, str]:
    return {"mesh.toml": TWO, "troubled/app.py": troubled, "quiet/app.py": ECHO}


WSGI = """\
from tests.support.supervised import gate


def app(environ, start_response):
    gate(f"in{environ['PATH_INFO']}").set()
    gate("open").wait(60)
    start_response("200 OK", [])
    return [b"done"]
"""


def test_blocking_handlers_that_use_up_their_threads_do_not_slow_other_services(tmp_path: Path) -> None:
    with supervised(tmp_path, two(WSGI)) as project:
        asking = [threading.Thread(target=ask, args=(project, f"/{number}")) for number in range(12)]
        for each in asking:
            each.start()
        assert gate("in/0").wait(PATIENCE)
        assert project.get("quiet", "/here").text == "/here"
        gate("open").set()
        for each in asking:
            each.join(PATIENCE)


def ask(project: Project, path: str) -> None:
    """GET with a separate session, as the callers of one service have."""
    with requests.Session() as session:
        session.trust_env = False
        assert session.get(f"http://{project.supervisor.directory.address('troubled', 'http')}{path}").text == "done"


HANGING = """\
from tests.support.supervised import gate


async def app(scope, receive, send):
    if scope["type"] != "http":
        return
    gate("in").set()
    gate("out").wait(60)
"""


def test_a_handler_that_never_ends_is_named_at_the_stop_and_does_not_hold_it_up(tmp_path: Path) -> None:
    with supervised(tmp_path, two(HANGING), Options(grace=0.2)) as project:
        asking = threading.Thread(target=hang, args=(project,), daemon=True)
        asking.start()
        assert gate("in").wait(PATIENCE)
        project.supervisor.post(Stop("requested", 0))
        project.change("mesh", "stopped")
        text = project.line("troubled", "GET /for-ever did not end within 0.2 s; it is at").text
        assert f'{tmp_path}/troubled/app.py", line 8, in app' in text
        gate("out").set()
        asking.join(PATIENCE)


def hang(project: Project) -> None:
    with contextlib.suppress(requests.RequestException):
        project.get("troubled", "/for-ever")


FLOOD = """\
async def app(scope, receive, send):
    for number in range(20_000):
        print(f"line {number} \\x1b[31m of many")
    print("x" * 10_000_000)
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"flooded"})
"""


def test_a_flood_of_lines_fills_no_memory_and_delays_no_other_service(tmp_path: Path) -> None:
    with supervised(tmp_path, two(FLOOD)) as project:
        assert project.get("troubled", "/").text == "flooded"
        assert project.get("quiet", "/here").text == "/here"
        kept = [each for each in project.supervisor.journal.entries() if isinstance(each, Line)]
        assert len(kept) <= 10_000
        assert max(len(each.text) for each in kept) == 16 * 1024
        assert [each for each in kept if each.stream != "mesh"][-1].text.endswith("x…")


def test_a_hundred_restarts_leave_no_thread_and_no_descriptor_behind(tmp_path: Path) -> None:
    with supervised(tmp_path, two(ECHO)) as project:
        restart(project, 10)
        threads, descriptors = threading.active_count(), len(os.listdir("/dev/fd"))
        restart(project, 100)
        assert project.supervisor.snapshot["troubled"].generation == 111
        assert threading.active_count() <= threads + 1
        assert len(os.listdir("/dev/fd")) <= descriptors + 2
        assert project.get("troubled", "/here").text == "/here"


def restart(project: Project, times: int) -> None:
    for _ in range(times):
        since = len(project.entries)
        project.supervisor.post(ServiceCommand("troubled", "restart"))
        project.line("troubled", "(restart)", since)


def test_twenty_stops_and_starts_leave_no_thread_and_no_descriptor_behind(tmp_path: Path) -> None:
    with supervised(tmp_path, two(ECHO)) as project:
        port = project.supervisor.directory.address("troubled", "http").port
        stop_and_start(project, 5)
        threads, descriptors = threading.active_count(), len(os.listdir("/dev/fd"))
        stop_and_start(project, 20)
        assert threading.active_count() <= threads + 1
        assert len(os.listdir("/dev/fd")) <= descriptors + 2
        assert project.supervisor.directory.address("troubled", "http").port == port
        assert project.get("troubled", "/here").text == "/here"


LINGERING = """\
import threading

from tests.support.supervised import gate


class Held:
    def __del__(self):
        gate("let go").wait(20)


held = threading.local()
held.by_this_thread = Held()
"""


def test_a_start_is_not_lost_on_a_thread_that_is_still_ending(tmp_path: Path) -> None:
    with supervised(tmp_path, two(LINGERING + ECHO)) as project:
        stop_and_start(project, 1)
        assert project.get("troubled", "/here").text == "/here"
        gate("let go").set()


def test_many_services_that_block_at_import_keep_no_other_from_starting(tmp_path: Path) -> None:
    blocked = {
        f"s{number}": "from tests.support.supervised import gate\ngate('import').wait(60)\n" + ECHO
        for number in range(9)
    }
    services = {**blocked, "last": ECHO}
    toml = "".join(f'[services.{name}]\nroot = "{name}"\nhttp = {{ port = 0, app = "app:app" }}\n' for name in services)
    files = {"mesh.toml": toml, **{f"{name}/app.py": code for name, code in services.items()}}
    with supervised(tmp_path, files, settled=False) as project:
        project.change("last", "ready")
        assert project.supervisor.snapshot.in_state("starting") == set(blocked)
        gate("import").set()
        assert project.supervisor.settled.wait(PATIENCE)
        assert project.supervisor.snapshot.in_state("ready") == set(services)


def test_a_start_asked_for_while_it_stops_follows_the_stop(tmp_path: Path) -> None:
    with supervised(tmp_path, two(ECHO)) as project:
        for command in (ServiceCommand("troubled", "stop"), ServiceCommand("troubled", "start")):
            project.supervisor.post(command)
        project.change("troubled", "stopped")
        project.change("troubled", "ready", since=project.entries.index(project.change("troubled", "stopped")))


def stop_and_start(project: Project, times: int) -> None:
    for _ in range(times):
        for command, state in (
            (ServiceCommand("troubled", "stop"), "stopped"),
            (ServiceCommand("troubled", "start"), "ready"),
        ):
            since = len(project.entries)
            project.supervisor.post(command)
            project.change("troubled", state, since=since)


HEALTH = """\
class Health:
    def Check(self, request, context): ...
    def Watch(self, request, context): ...


def add_to(server):
    from grpc_health.v1 import health_pb2_grpc

    health_pb2_grpc.add_HealthServicer_to_server(Health(), server)
"""


def test_a_health_servicer_from_before_list_is_told_what_it_lacks(tmp_path: Path) -> None:
    from grpc_health.v1 import health_pb2_grpc

    toml = '[services.old]\ngrpc = { port = 0, servicers = ["app:add_to"] }\n'
    with supervised(tmp_path, {"mesh.toml": toml, "app.py": HEALTH}) as project:
        if not hasattr(health_pb2_grpc.HealthServicer, "List"):
            project.change("old", "ready")  # the installed protocol asks for no more than the servicer has
            return
        reason = project.change("old", "failed").reason or ""
        assert reason.startswith("old: Health has no method List, which the health service of grpcio-health-checking ")
        assert reason.endswith(" has; derive it from health_pb2_grpc.HealthServicer, or add List")


PATCHING = """\
import gevent.monkey

gevent.monkey.patch_all()
"""


def test_patching_everybodys_modules_is_refused_with_what_to_do_and_the_others_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    library = tmp_path / "library" / "gevent"
    library.mkdir(parents=True)
    (library / "__init__.py").touch()
    (library / "monkey.py").write_text("def patch_all():\n    raise AssertionError\n")
    monkeypatch.syspath_prepend(library.parent)
    with supervised(tmp_path, two(PATCHING)) as project:
        reason = project.change("troubled", "failed").reason or ""
        assert "gevent.monkey.patch_all() at " in reason
        assert f"{tmp_path}/troubled/app.py:3 would change every service of this process" in reason
        assert reason.endswith('give this one its own process: isolation = "process"')
        assert project.get("quiet", "/here").text == "/here"


REPLACING = """\
import json


def dumps(value):
    return "{}"


async def app(scope, receive, send):
    if scope["path"] == "/replace":
        json.dumps_briefly = dumps
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b""})
"""


def test_what_a_handler_replaces_for_every_service_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json, "dumps_briefly", json.dumps, raising=False)
    with supervised(tmp_path, two(REPLACING)) as project:
        project.get("troubled", "/replace")
        told = project.line("troubled", "json.dumps_briefly was replaced by ")
    assert f"{tmp_path}/troubled/app.py:4, for every service of this process" in told.text
