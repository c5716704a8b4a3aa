"""Calls of a service whose process is suspended: its connections stay open, and nothing answers."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from mesh.runtime.options import Options
from tests.support.programs import suspend
from tests.support.supervised import PATIENCE, supervised

PROTO = """
    syntax = "proto3";
    package slow;
    import "google/api/annotations.proto";
    service Slow {
      rpc Get(Thing) returns (Thing) { option (google.api.http) = { get: "/things/{name}" }; }
    }
    service Other {
      rpc Get(Thing) returns (Thing) { option (google.api.http) = { get: "/others/{name}" }; }
    }
    message Thing { string name = 1; }
"""
SERVICERS = """
    import os
    import slow_pb2_grpc

    print("pid", os.getpid(), flush=True)

    class Slow(slow_pb2_grpc.SlowServicer):
        def Get(self, request, context):
            return request

    class Other(slow_pb2_grpc.OtherServicer):
        def Get(self, request, context):
            return request
"""
ASKING = """
    from starlette.applications import Starlette
    from starlette.responses import JSONResponse
    from starlette.routing import Route

    from mesh import Peer, exception_handlers

    slow, other = Peer("slow", timeout=1), Peer("other", timeout=60)

    async def get_slow(request):
        return JSONResponse((await slow.Get(name="a")).name)

    async def get_other(request):
        return JSONResponse((await other.Get(name="a")).name)

    routes = [Route("/slow", get_slow), Route("/other", get_other)]
    app = Starlette(routes=routes, exception_handlers=exception_handlers)
"""
TOML = """
    [mesh]
    protos = ["."]

    [services.slow]
    isolation = "process"
    http = {port = 0}
    grpc = {port = 0, servicers = ["servicers:Slow"], services = ["slow.Slow"]}

    [services.other]
    http = {port = 0}
    grpc = {port = 0, servicers = ["servicers:Other"], services = ["slow.Other"]}

    [services.asking]
    http = {port = 0, app = "asking:app"}
    depends_on = ["slow", "other"]
"""


@pytest.fixture
def files() -> dict[str, str]:
    return {"mesh.toml": TOML, "slow.proto": PROTO, "servicers.py": SERVICERS, "asking.py": ASKING}


def test_a_call_of_a_suspended_process_ends_by_its_deadline_and_others_go_on(
    tmp_path: Path, files: dict[str, str]
) -> None:
    with supervised(tmp_path, files, Options(start_within=PATIENCE)) as project:
        pid = int(project.line("slow", "pid ").text.split()[1])
        assert project.get("asking", "/slow").json() == "a"
        suspend(pid)
        try:
            answer = project.get("asking", "/slow", timeout=PATIENCE)
            assert (answer.status_code, answer.json()["code"]) == (503, 14)
            causes = answer.json()["message"].split("; ")
            assert causes[0] == "slow is unavailable: grpc DEADLINE_EXCEEDED: Deadline Exceeded"
            assert causes[1].startswith("http DEADLINE_EXCEEDED: ")
            assert project.get("asking", "/other").json() == "a"
        finally:
            os.kill(pid, signal.SIGCONT)
        assert project.get("asking", "/slow", timeout=PATIENCE).json() == "a", project.entries
