"""Calls that a stop or a restart of their service cuts: unavailable to every caller, in threads and in processes."""

from __future__ import annotations

import textwrap
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import pytest

from mesh.observing.journal import Line
from mesh.runtime.instances.process import ProcessInstance
from mesh.runtime.messages import ServiceCommand
from mesh.runtime.options import Options
from tests.support.supervised import PATIENCE, Project, supervised

PROTO = """
    syntax = "proto3";
    package slow;
    import "google/api/annotations.proto";
    service Slow {
      rpc Get(Thing) returns (Thing) { option (google.api.http) = { get: "/things/{name}" }; }
      rpc Watch(Thing) returns (stream Thing) { option (google.api.http) = { get: "/things/{name}:watch" }; }
    }
    message Thing { string name = 1; }
"""
PLAIN = """
    import threading
    import slow_pb2, slow_pb2_grpc

    class Slow(slow_pb2_grpc.SlowServicer):
        def Get(self, request, context):
            print("hangs", flush=True)
            threading.Event().wait(60)

        def Watch(self, request, context):
            yield request
            print("hangs", flush=True)
            threading.Event().wait(60)
"""
COROUTINES = """
    import asyncio
    import slow_pb2, slow_pb2_grpc

    class Slow(slow_pb2_grpc.SlowServicer):
        async def Get(self, request, context):
            print("hangs", flush=True)
            await asyncio.sleep(60)

        async def Watch(self, request, context):
            yield request
            print("hangs", flush=True)
            await asyncio.sleep(60)
"""
STARLETTE = """
    import asyncio
    from starlette.applications import Starlette
    from starlette.routing import Route

    async def hang(request):
        print("hangs", flush=True)
        await asyncio.sleep(60)

    app = Starlette(routes=[Route("/hang", hang)])
"""
FLASK = """
    import threading
    from flask import Flask

    app = Flask(__name__)

    @app.get("/hang")
    def hang():
        print("hangs", flush=True)
        threading.Event().wait(60)
        return "late"
"""
FILES = {
    "slow.proto": PROTO,
    "plain.py": PLAIN,
    "coroutines.py": COROUTINES,
    "starlette_app.py": STARLETTE,
    "flask_app.py": FLASK,
}
STOPPED = "the service stopped before it answered"


def project_of(folder: Path, isolation: str) -> Any:
    tables = [
        f'[services.{name}]\nisolation = "{isolation}"\nhttp = {{port = 0}}\n'
        f'grpc = {{port = 0, servicers = ["{name}:Slow"]}}\n'
        for name in ("plain", "coroutines")
    ]
    tables += [
        f'[services.{name}-app]\nisolation = "{isolation}"\nhttp = {{port = 0, app = "{name}_app:app"}}\n'
        for name in ("starlette", "flask")
    ]
    declared = '[mesh]\nprotos = ["."]\n' + "\n".join(tables)
    return supervised(folder, {**FILES, "mesh.toml": declared}, Options(grace=0.3, start_within=PATIENCE))


# A restart in this process cuts nothing: calls end on the code they began with.
@pytest.mark.parametrize(("isolation", "command"), [("thread", "stop"), ("process", "stop"), ("process", "restart")])
def test_calls_that_a_service_leaves_unanswered_are_unavailable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, isolation: str, command: str
) -> None:
    monkeypatch.setattr(ProcessInstance, "more_seconds", PATIENCE)  # on a busy machine a process is killed too early
    with project_of(tmp_path, isolation) as project, ThreadPoolExecutor(8) as pool:
        for name in ("plain", "coroutines"):
            address = project.supervisor.snapshot[name].grpc
            with grpc.insecure_channel(str(address), [("grpc.enable_http_proxy", 0)]) as channel:
                get: Any = channel.unary_unary("/slow.Slow/Get")
                asked = [pool.submit(status_of, get), pool.submit(http_status, project, name, "/things/a")]
                cut(project, name, len(asked), command)
                assert [each.result(PATIENCE) for each in asked] == [
                    (grpc.StatusCode.UNAVAILABLE, STOPPED),
                    (503, STOPPED),
                ]
        for name in ("starlette-app", "flask-app"):
            asked = [pool.submit(http_status, project, name, "/hang")]
            cut(project, name, 1, command)
            assert [each.result(PATIENCE) for each in asked] == [(503, STOPPED)]


def status_of(method: Any) -> tuple[Any, Any]:
    with pytest.raises(grpc.RpcError) as caught:
        method(b"", timeout=PATIENCE)
    return caught.value.code(), caught.value.details()


def http_status(project: Project, service: str, path: str) -> tuple[int, Any]:
    answer = project.get(service, path, timeout=PATIENCE)
    return answer.status_code, answer.json()["message"]


def cut(project: Project, name: str, calls: int, command: Any) -> None:
    wait_for_calls(project, name, calls)
    project.supervisor.post(ServiceCommand(name, command))


def wait_for_calls(project: Project, name: str, calls: int) -> None:
    """Wait until so many calls of the service hang."""

    def hanging() -> int:
        return sum(isinstance(each, Line) and (each.service, each.text) == (name, "hangs") for each in project.entries)

    project.wait_for(lambda _: hanging() == calls)


@pytest.mark.parametrize(("name", "later"), [("plain", COROUTINES), ("coroutines", PLAIN)])
def test_calls_over_connections_that_another_kind_of_server_cuts_are_unavailable(
    tmp_path: Path, name: str, later: str
) -> None:
    with project_of(tmp_path, "thread") as project, ThreadPoolExecutor(2) as pool:
        address = project.supervisor.snapshot[name].grpc
        with grpc.insecure_channel(str(address), [("grpc.enable_http_proxy", 0)]) as channel:
            asked = pool.submit(status_of, channel.unary_unary("/slow.Slow/Get"))
            wait_for_calls(project, name, 1)
            (tmp_path / f"{name}.py").write_text(textwrap.dedent(later))
            project.supervisor.post(ServiceCommand(name, "restart"))
            assert asked.result(PATIENCE) == (grpc.StatusCode.UNAVAILABLE, STOPPED)
            watch: Any = channel.unary_stream("/slow.Slow/Watch")
            answers = watch(b"\n\x01a", timeout=PATIENCE, wait_for_ready=True)
            assert next(answers) == b"\n\x01a"
            answers.cancel()
