"""Calls of a Peer that the stop or restart of the called service cuts: made again over HTTP where that does no harm."""

from __future__ import annotations

import textwrap
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from mesh.observing.journal import Line
from mesh.runtime.messages import ServiceCommand
from mesh.runtime.options import Options
from tests.support.supervised import PATIENCE, Project, supervised

PROTO = """
    syntax = "proto3";
    package slow;
    import "google/api/annotations.proto";
    service Slow {
      rpc Get(Thing) returns (Thing) { option (google.api.http) = { get: "/things/{name}" }; }
      rpc Create(Thing) returns (Thing) { option (google.api.http) = { post: "/things" body: "*" }; }
      rpc Watch(Thing) returns (stream Thing) { option (google.api.http) = { get: "/things/{name}:watch" }; }
    }
    message Thing { string name = 1; }
"""
#: The code that is cut never answers; what is served afterwards does at once.
PLAIN = """
    import os, threading
    import slow_pb2, slow_pb2_grpc

    first = not os.path.exists("served")
    open("served", "w").close()

    class Slow(slow_pb2_grpc.SlowServicer):
        def Get(self, request, context):
            self.hang()
            return request

        def Create(self, request, context):
            self.hang()
            return request

        def Watch(self, request, context):
            self.hang()
            yield request

        def hang(self):
            if first:
                print("hangs", flush=True)
                threading.Event().wait(60)
"""
COROUTINES = """
    import slow_pb2, slow_pb2_grpc

    class Slow(slow_pb2_grpc.SlowServicer):
        async def Get(self, request, context):
            return request

        async def Create(self, request, context):
            return request

        async def Watch(self, request, context):
            yield request
"""
ASKING = """
    from starlette.applications import Starlette
    from starlette.responses import JSONResponse
    from starlette.routing import Route

    from mesh import Peer, exception_handlers

    slow = Peer("slow", timeout=120)

    async def get(request):
        return JSONResponse((await slow.Get(name="a")).name)

    async def create(request):
        return JSONResponse((await slow.Create(name="a")).name)

    async def create_with_key(request):
        return JSONResponse((await slow.Create({"name": "a"}, idempotency_key="k")).name)

    async def watch(request):
        return JSONResponse([each.name async for each in slow.Watch(name="a")])

    routes = [Route(f"/{each.__name__}", each) for each in (get, create, create_with_key, watch)]
    app = Starlette(routes=routes, exception_handlers=exception_handlers)
"""
TOML = """
    [mesh]
    protos = ["."]

    [services.slow]
    isolation = "{}"
    http = {{port = 0}}
    grpc = {{port = 0, servicers = ["slow:Slow"], services = ["slow.Slow"]}}

    [services.asking]
    http = {{port = 0, app = "asking:app"}}
    depends_on = ["slow"]
"""
STOPPED = "the service stopped before it answered"


def project_of(folder: Path, isolation: str) -> Any:
    files = {"mesh.toml": TOML.format(isolation), "slow.proto": PROTO, "slow.py": PLAIN, "asking.py": ASKING}
    return supervised(folder, files, Options(grace=0.3, start_within=PATIENCE))


def cut(project: Project, path: str, command: Any) -> tuple[int, Any]:
    """Return the answer to a caller whose call of the other service hangs until the command cuts it."""
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(project.get, "asking", path, 2 * PATIENCE)
        project.line("slow", "hangs")
        project.supervisor.post(ServiceCommand("slow", command))
        return answer.result(2 * PATIENCE).status_code, answer.result().json()


@pytest.mark.parametrize(
    ("path", "answer"),
    [
        ("/get", (200, "a")),
        ("/create_with_key", (200, "a")),
        ("/watch", (200, ["a"])),
        ("/create", (503, {"code": 14, "message": STOPPED, "details": []})),
    ],
)
@pytest.mark.parametrize("isolation", ["process", "thread"])
def test_a_call_that_a_restart_cuts_is_made_again_over_http_where_that_does_no_harm(
    tmp_path: Path, isolation: str, path: str, answer: tuple[int, Any]
) -> None:
    with project_of(tmp_path, isolation) as project:
        if isolation == "thread":  # where only another kind of server cuts calls
            (tmp_path / "slow.py").write_text(textwrap.dedent(COROUTINES))
        assert cut(project, path, "restart") == answer


@pytest.mark.parametrize("isolation", ["process", "thread"])
def test_a_call_that_a_stop_cuts_is_503_with_the_cause_of_both_attempts(tmp_path: Path, isolation: str) -> None:
    with project_of(tmp_path, isolation) as project:
        status, error = cut(project, "/get", "stop")
        assert (status, error["code"]) == (503, 14)
        assert error["message"].startswith(f"slow is unavailable: grpc UNAVAILABLE: {STOPPED}; http UNAVAILABLE: ")
        assert not [each for each in project.entries if isinstance(each, Line) and "Traceback" in each.text]
