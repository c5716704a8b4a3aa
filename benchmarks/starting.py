"""Time that a start takes: from exec to every port answering."""

from __future__ import annotations

import os
import re
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import replace

from benchmarks.programs import MESH, four_processes, mesh, milliseconds_to_answer, milliseconds_to_end, running
from benchmarks.rounds import Effort, in_turn, medians
from benchmarks.table import Goal, Row

_IMPORTED = re.compile(r"^import time:\s+\d+ \|\s+\d+ \|\s+(\S+)$", re.MULTILINE)


def rows(effort: Effort) -> Iterator[Row]:
    what = "start: exec to every port answering"
    imports = bare_imports()
    took = medians(
        in_turn(
            {
                "mesh": lambda: milliseconds_to_answer(mesh()),
                "imports": lambda: milliseconds_to_end(sys.executable, "-c", imports),
                "four": lambda: milliseconds_to_answer(four_processes()),
            },
            effort.starts,
        )
    )
    yield Row(what, took["mesh"], "the same imports alone", took["imports"], "ms", Goal("at most", 1.15))
    yield Row(what, took["mesh"], "four processes", took["four"], "ms")

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
