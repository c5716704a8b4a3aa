"""Memory of the store after some traffic, as the system counts it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from functools import partial

import psutil

from benchmarks.falling_back import ORDER
from benchmarks.load import Job, Load
from benchmarks.programs import Program, four_processes, mesh, running
from benchmarks.rounds import Effort, in_turn, medians
from benchmarks.table import Row

#: What is shared by several processes counts in each for RSS, and once for PSS, which only Linux tells.
KINDS = ("RSS", "PSS") if sys.platform == "linux" else ("RSS",)


def rows(effort: Effort) -> Iterator[Row]:
    for kind in KINDS:
        subjects = {"one": partial(used_by, mesh, kind), "four": partial(used_by, four_processes, kind)}
        used = medians(in_turn(subjects, max(1, effort.rounds // 2)))
        yield Row(f"memory of the store, {kind}", used["one"], "four processes", used["four"], "MiB")


def used_by(declared: Callable[[], Program], kind: str) -> float:
    """MiB of all processes of the program, after a second of reads and orders."""
    program = declared()
    with running(program) as pids, Load() as load:
        for path in ("/api/grpc/users/1", "/api/products/1"):
            load.run(Job(program.url + path, 16, 0.3))
        load.run(Job(f"{program.url}/api/orders", 16, 0.3, ORDER, 201))
        used: list[int] = [getattr(psutil.Process(pid).memory_full_info(), kind.lower()) for pid in pids]
        return sum(used) / 1024**2
