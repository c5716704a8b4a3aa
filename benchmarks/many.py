"""Many services in one process: what each further one costs, and what it takes from the others.

Each service has an HTTP and a gRPC listener, a folder of its own with modules named as in all the others, and generated
code from a .proto that mesh compiles.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from statistics import median

import psutil

from benchmarks.load import Job, Load
from benchmarks.programs import MESH, Program, free_row, milliseconds_to_answer, milliseconds_to_end, running
from benchmarks.rounds import Effort, in_turn, medians
from benchmarks.table import Goal, Row

COUNTS = (4, 16, 64)

_PROTO = """\
syntax = "proto3";
package echo;
service Echo { rpc Say(Text) returns (Text); }
message Text { string text = 1; }
"""

_APP = """\
import echo_pb2_grpc
import models


class Echo(echo_pb2_grpc.EchoServicer):
    def Say(self, request, context):
        return request


async def app(scope, receive, send):
    if scope["path"] == "/late":
        import json
        import os.path
        from collections import abc

        import models as again
        from models import Item
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": models.ANSWER})
"""

_MODELS = "ANSWER = b'ok'\n\n\nclass Item:\n    pass\n"

_IMPORTED = re.compile(r"^import time:\s+\d+ \|\s+\d+ \|\s+(\S+)$", re.MULTILINE)

_COMPILE = """\
import sys, time
from pathlib import Path
from mesh.runtime.stubs import stubs_of
started = time.perf_counter()
stubs_of([Path(sys.argv[1])], Path(sys.argv[2]))
print((time.perf_counter() - started) * 1000)
"""


def rows(effort: Effort) -> Iterator[Row]:
    # A developer's shell does not forbid bytecode; without it every start compiles every service.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryDirectory() as caches:
        projects = {count: project(Path(folder) / str(count), count) for count in (1, *COUNTS)}
        for each in projects.values():
            _start(each)  # compiles its protos and writes its bytecode
        yield from _starts(projects, effort)
        yield from _memory(projects)
        yield from _throughput(projects, effort)
        yield from _compilation(projects[16], Path(caches), effort)


def project(folder: Path, count: int) -> Path:
    """The folder of a project of so many services."""
    (folder / "proto").mkdir(parents=True)
    (folder / "proto" / "echo.proto").write_text(_PROTO)
    toml = ['[mesh]\nname = "many"\nprotos = ["proto"]\n']
    for number in range(count):
        root = folder / f"service-{number}"
        root.mkdir()
        (root / "app.py").write_text(_APP)
        (root / "models.py").write_text(_MODELS)
        http, grpc = 'port = 0, app = "app:app"', 'port = 0, servicers = ["app:Echo"]'
        toml.append(f'[services.{root.name}]\nroot = "{root.name}"\nhttp = {{ {http} }}\ngrpc = {{ {grpc} }}\n')
    (folder / "mesh.toml").write_text("\n".join(toml))
    return folder


def program(folder: Path) -> Program:
    count = sum(1 for each in folder.glob("service-*"))
    base = free_row(2 * count)
    command = (MESH, "up", str(folder / "mesh.toml"), "--memory", "--quiet", "--no-reload", "--port-base", str(base))
    return Program((command,), tuple(range(base, base + 2 * count, 2)), tuple(range(base + 1, base + 2 * count, 2)))


def _starts(projects: dict[int, Path], effort: Effort) -> Iterator[Row]:
    imports = bare_imports(program(projects[16]))
    subjects = {f"{count}": partial(_start, projects[count]) for count in COUNTS}
    subjects["imports"] = partial(milliseconds_to_end, sys.executable, "-c", imports)
    took = medians(in_turn(subjects, effort.starts))
    for count in COUNTS:
        goal = Goal("at most", 1.3) if count == 16 else None
        yield Row(f"start of {count} services", took[str(count)], "bare imports", took["imports"], "ms", goal)
    further = (took["64"] - took["4"]) / 60
    yield Row(
        "start: each further service", further, "bare imports", took["imports"], "ms", Goal("at most", 3, "figure")
    )


def _start(folder: Path) -> float:
    return milliseconds_to_answer(program(folder))


def bare_imports(measured: Program) -> str:
    """A program that imports what the measured one has imported by the time it is up, and ends at once."""
    with tempfile.TemporaryFile("w+") as report:
        profiled = (sys.executable, "-X", "importtime", *measured.commands[0])
        with running(replace(measured, commands=(profiled,)), stderr=report):
            pass
        report.seek(0)
        names = dict.fromkeys(name for name in _IMPORTED.findall(report.read()) if not name.startswith("mesh_"))
    lines = [f"try: __import__({name!r})\nexcept ImportError: pass" for name in names]
    return "\n".join(["import os", *lines, "os._exit(0)"])


def _memory(projects: dict[int, Path]) -> Iterator[Row]:
    used = {count: _resident(projects[count]) for count in (1, *COUNTS)}
    for count in COUNTS:
        yield Row(f"memory of {count} services", used[count], "one service", used[1], "MiB")
    further = (used[64] - used[4]) / 60
    yield Row("memory: each further service", further, "one service", used[1], "MiB", Goal("at most", 1, "figure"))


def _resident(folder: Path) -> float:
    with running(program(folder)) as pids:
        return sum(psutil.Process(pid).memory_info().rss for pid in pids) / 1024**2


def _throughput(projects: dict[int, Path], effort: Effort) -> Iterator[Row]:
    with _up(projects[1]) as alone, _up(projects[64]) as among, Load() as load:
        jobs = {"alone": f"{alone}/", "among": f"{among}/", "late": f"{among}/late"}
        runs = {name: partial(load.run, Job(url, 16, effort.seconds)) for name, url in jobs.items()}
        rate = {name: median(each.rate for each in found) for name, found in in_turn(runs, effort.rounds).items()}
    yield Row("rate of a service with 63 idle ones", rate["among"], "alone", rate["alone"], "/s", Goal("at least", 0.9))
    yield Row("rate with 5 import statements in the handler", rate["late"], "none", rate["among"], "/s")


@contextmanager
def _up(folder: Path) -> Iterator[str]:
    started = program(folder)
    with running(started):
        yield started.url


def _compilation(folder: Path, caches: Path, effort: Effort) -> Iterator[Row]:
    def compiled(cache: Path) -> float:
        command = [sys.executable, "-c", _COMPILE, str(folder / "proto"), str(cache)]
        return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)

    def cold() -> float:
        shutil.rmtree(caches / "cold", ignore_errors=True)
        return compiled(caches / "cold")

    took = medians(in_turn({"cold": cold, "cached": lambda: compiled(caches / "cached")}, effort.starts))
    yield Row("a .proto at start, the first time", took["cold"], "out of the cache", took["cached"], "ms")
