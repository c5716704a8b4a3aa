"""Time from saving a file to the first answer of its code, and what reloads cost those who call meanwhile."""

from __future__ import annotations

import http.client
import os
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from statistics import median

from benchmarks.grpc_load import GrpcJob, GrpcLoad
from benchmarks.load import Job, Load
from benchmarks.programs import MESH, PATIENCE, Program, free_row, running
from benchmarks.rounds import Effort, in_turn
from benchmarks.table import Goal, Row

#: Callers of each kind that are at it while the code is loaded again and again.
CALLERS = 16
#: Seconds; edits that follow each other faster are loaded together.
EDIT_EVERY = 0.3

_APP = """\
import asyncio
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse, StreamingResponse
from starlette.routing import Route
from parts import module0

async def events(request):
    async def told():
        while True:
            yield "data: here\\n\\n"
            await asyncio.sleep(0.1)
    return StreamingResponse(told(), media_type="text/event-stream")

async def index(request):
    return PlainTextResponse(module0.chain())

async def health(request):
    return PlainTextResponse("fine")

app = Starlette(routes=[Route("/", index), Route("/events", events), Route("/health", health)])
"""
#: Each imports the next: the one that is edited is the last of ten.
_MODULE = """\
from dataclasses import dataclass
from parts import {next}

@dataclass
class Item:
    name: str
    price: float

def chain():
    return {next}.chain()
"""
_LAST = "def chain():\n    return '{}'\n"
_PROTO = 'syntax = "proto3"; service Talk { rpc Say(Word) returns (Word); } message Word { string text = 1; }'
_TALK = """\
import talk_pb2_grpc
from parts import module0

class Talk(talk_pb2_grpc.TalkServicer):
    def Say(self, request, context):
        module0.chain()
        return request
"""
_TOML = """\
[mesh]
name = "live"
protos = ["proto"]

[services.web]
http = {{ port = {http}, app = "app:app" }}
grpc = {{ port = {grpc}, servicers = ["talk:Talk"] }}
"""


def rows(effort: Effort) -> Iterator[Row]:
    with tempfile.TemporaryDirectory() as folder:
        ours, streaming, theirs = (Project(Path(folder) / name) for name in ("mesh", "streaming", "uvicorn"))
        with running(ours.mesh()), running(theirs.uvicorn()), running(streaming.mesh()), streaming.open_stream():
            subjects = {"ours": ours, "streaming": streaming, "theirs": theirs}
            took = in_turn({n: each.milliseconds_to_live for n, each in subjects.items()}, max(5, effort.rounds * 20))
            goal, tail = Goal("at most", 0.1), Goal("at most", 30, "figure")
            p50 = {name: median(each) for name, each in took.items()}
            late = {name: p99(each) for name, each in took.items()}
            yield Row("save to answer: p50", p50["ours"], "uvicorn --reload", p50["theirs"], "ms", goal)
            yield Row("save to answer: p99", late["ours"], "uvicorn --reload", late["theirs"], "ms", tail)
            # With a stream open, uvicorn waits for its end before it loads anything.
            against = "uvicorn --reload, no stream"
            what = "save to answer, a stream open"
            yield Row(f"{what}: p50", p50["streaming"], against, p50["theirs"], "ms", goal)
            yield Row(f"{what}: p99", late["streaming"], against, late["theirs"], "ms", tail)
        with running(ours.mesh()):
            yield from _under_load(ours, 100 if effort.rounds > 1 else 5)


def p99(values: list[float]) -> float:
    return sorted(values)[(len(values) * 99 - 1) // 100]


class Project:
    """A service of ten modules and its folder.

    modules: by file name, instead of these ten; `parts/module9.py` is edited in any case.
    """

    def __init__(self, folder: Path, modules: Mapping[str, str] | None = None) -> None:
        self._folder = folder
        self._http = free_row(2)
        self._grpc = self._http + 1
        self._last = folder / "parts" / "module9.py"
        self._number = 0
        (folder / "parts").mkdir(parents=True)
        (folder / "proto").mkdir()
        chain = {f"parts/module{number}.py": _MODULE.format(next=f"module{number + 1}") for number in range(9)}
        files = {"app.py": _APP, "talk.py": _TALK, "proto/talk.proto": _PROTO, **(modules or chain)}
        for name, text in files.items():
            (folder / name).write_text(text)
        self._last.write_text(_LAST.format(0))
        (folder / "mesh.toml").write_text(_TOML.format(http=self._http, grpc=self._grpc))

    def mesh(self) -> Program:
        return Program(((MESH, "up", str(self._folder / "mesh.toml"), "--quiet"),), (self._http,), (self._grpc,))

    def uvicorn(self) -> Program:
        """Start it as its documentation says; it watches with the same library."""
        where = ("--app-dir", str(self._folder), "--reload-dir", str(self._folder))
        command = (sys.executable, "-m", "uvicorn", "app:app", "--reload", *where, "--port", str(self._http))
        return Program((command,), (self._http,))

    def uvicorn_hmr(self) -> Program:
        """Start it as its documentation says: in the project's folder."""
        script = Path(sys.executable).with_name("uvicorn-hmr")
        command = f"cd '{self._folder}' && exec '{script}' app:app --host 127.0.0.1 --port {self._http}"
        return Program((("sh", "-c", command),), (self._http,))

    @property
    def http(self) -> Job:
        return Job(f"http://127.0.0.1:{self._http}/", CALLERS, 0.0)

    @property
    def grpc(self) -> GrpcJob:
        return GrpcJob(f"127.0.0.1:{self._grpc}", "/Talk/Say", CALLERS, 0.0)

    def save(self) -> str:
        """Save as editors do: the new file replaces the old one. Returns what the code answers from now on."""
        self._number += 1
        aside = self._last.with_suffix(".tmp")
        # Of another size each time: Python takes bytecode for current by whole seconds and the size of its source.
        aside.write_text(_LAST.format(self._number) + "#" * (self._number % 9))
        os.replace(aside, self._last)
        return str(self._number)

    def milliseconds_to_live(self) -> float:
        time.sleep(EDIT_EVERY)  # Nobody saves ten times a second; and uvicorn looks four times.
        started = time.perf_counter()
        new = self.save().encode()
        while self._answer() != new:
            if time.perf_counter() - started > PATIENCE:
                raise RuntimeError("the new code does not answer")
            time.sleep(0.001)
        return (time.perf_counter() - started) * 1000

    @contextmanager
    def open_stream(self) -> Iterator[None]:
        with closing(http.client.HTTPConnection("127.0.0.1", self._http, timeout=PATIENCE)) as connection:
            connection.request("GET", "/events")
            assert connection.getresponse().readline()
            yield

    def _answer(self) -> bytes:
        # A server on its way out may take a connection and never answer it.
        connection = http.client.HTTPConnection("127.0.0.1", self._http, timeout=2)
        with suppress(OSError, http.client.HTTPException), closing(connection):
            connection.request("GET", "/")
            return connection.getresponse().read()
        return b""


def _under_load(project: Project, reloads: int) -> Iterator[Row]:
    """A call that fails ends the measurement with an error: there must be none."""
    seconds = reloads * EDIT_EVERY
    with Load() as load, GrpcLoad() as grpc_load:

        def measure() -> tuple[float, float]:
            with ThreadPoolExecutor(2) as pool:
                over_http = pool.submit(load.run, replace(project.http, seconds=seconds))
                over_grpc = pool.submit(grpc_load.run, replace(project.grpc, seconds=seconds))
                return over_http.result().p99, over_grpc.result().p99

        measure()
        undisturbed = measure()
        with ThreadPoolExecutor(1) as pool:
            editing = pool.submit(_edit, project, reloads)
            disturbed = measure()
            editing.result()
    for kind, ours, alone in zip(("HTTP", "gRPC"), disturbed, undisturbed, strict=True):
        what = f"{reloads} reloads under load, 0 failed: {kind} p99"
        yield Row(what, ours, "undisturbed", alone, "ms", Goal("at most", 2))


def _edit(project: Project, reloads: int) -> None:
    for _ in range(reloads):
        project.save()
        time.sleep(EDIT_EVERY)
