"""Time that a start takes: from exec to every port answering."""

from __future__ import annotations

import os
import re
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import replace

from benchmarks.programs import (
    ENVIRONMENT,
    MESH,
    four_processes,
    mesh,
    milliseconds_to_answer,
    milliseconds_to_end,
    running,
)
from benchmarks.rounds import Effort, in_turn, medians
from benchmarks.table import Goal, Row

#: What serves HTTP and gRPC with health, reflection and rules, however it is put together: a floor that stays where it
#: is when mesh's own modules change.
LIBRARIES = """
import asyncio, os
import click, uvloop, httptools, uvicorn, uvicorn.protocols.http.httptools_impl, uvicorn.lifespan.on
import starlette.applications, starlette.routing, starlette.responses
import grpc, grpc.aio, grpc_health.v1.health, grpc_health.v1.health_pb2_grpc, grpc_reflection.v1alpha.reflection
import google.protobuf.json_format, google.api.annotations_pb2, google.rpc.error_details_pb2, google.rpc.status_pb2
os._exit(0)
"""
_IMPORTED = re.compile(r"^import time:\s+\d+ \|\s+\d+ \|\s+(\S+)$", re.MULTILINE)


def rows(effort: Effort) -> Iterator[Row]:
    what = "start: exec to every port answering"
    yield from _against_libraries(what, effort)
    imports = bare_imports()
    took = medians(
        in_turn(
            {
                "mesh": lambda: milliseconds_to_answer(mesh()),
                "imports": lambda: milliseconds_to_end(sys.executable, "-c", imports),
                "four": lambda: milliseconds_to_answer(four_processes()),
                "forked": lambda: milliseconds_to_answer(mesh(flags=("--processes",))),
            },
            effort.starts,
        )
    )
    yield Row(what, took["mesh"], "the same imports alone", took["imports"], "ms", Goal("at most", 1.15))
    yield Row(what, took["mesh"], "four processes", took["four"], "ms")
    yield Row(f"{what}, --processes", took["forked"], "four processes", took["four"], "ms")

    took = medians(
        in_turn(
            {
                "help": lambda: milliseconds_to_end(MESH, "--help"),
                "python": lambda: milliseconds_to_end(sys.executable, "-c", ""),
            },
            effort.starts,
        )
    )
    yield Row("mesh --help", took["help"], "python -c ''", took["python"], "ms", Goal("at most", 150, of="figure"))


def _against_libraries(what: str, effort: Effort) -> Iterator[Row]:
    unwritten = {**ENVIRONMENT, "PYTHONDONTWRITEBYTECODE": "1"}
    took = medians(
        in_turn(
            {
                "mesh": lambda: milliseconds_to_answer(mesh()),
                "unwritten": lambda: milliseconds_to_answer(replace(mesh(), environment=unwritten)),
                "libraries": lambda: milliseconds_to_end(sys.executable, "-c", LIBRARIES),
            },
            effort.starts,
        )
    )
    against = "the libraries' imports alone"
    yield Row(what, took["mesh"], against, took["libraries"], "ms", Goal("at most", 1.2))
    # mesh's own bytecode was made when it was installed, as pip does, and uv with --compile-bytecode.
    what = f"{what}, PYTHONDONTWRITEBYTECODE"
    yield Row(what, took["unwritten"], against, took["libraries"], "ms", Goal("at most", 1.3))


def bare_imports() -> str:
    """A program that imports what a mesh has imported by the time it is up, in the same order, and ends at once."""
    found = dict.fromkeys(_IMPORTED.findall(_import_times()))
    # A package whose import had only begun is named by its parts, not yet by itself.
    names = [name for name in found if name.partition(".")[0] in found]
    lines = ["import os"]
    for name in names:
        lines.append(f"try: __import__({name!r})\nexcept ImportError: pass")
    return "\n".join([*lines, "os._exit(0)"])


def _import_times() -> str:
    """Return what `python -X importtime` says of a mesh that is up."""
    program = mesh()
    with tempfile.TemporaryFile("w+") as report:
        profiled = (sys.executable, "-X", "importtime", *program.commands[0])
        with running(replace(program, commands=(profiled,)), stderr=report):
            written = os.fstat(report.fileno()).st_size  # What is imported later, in the background, delays no start.
        report.seek(0)
        return report.read(written)
