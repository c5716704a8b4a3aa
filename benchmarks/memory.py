"""Memory of the store after some traffic, as the system counts it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from benchmarks.falling_back import ORDER
from benchmarks.load import Job, Load
from benchmarks.programs import Program, four_processes, mesh, running
from benchmarks.rounds import Effort, in_turn, medians
from benchmarks.table import Row

#: What is shared by several processes counts in each for RSS, and once for PSS.
KINDS = {"RSS": "Rss", "PSS": "Pss"}


def rows(effort: Effort) -> Iterator[Row]:
    if not Path("/proc/self/smaps_rollup").exists():
        return
    for kind, field in KINDS.items():
        subjects = {"one": partial(used_by, mesh, field), "four": partial(used_by, four_processes, field)}
        used = medians(in_turn(subjects, max(1, effort.rounds // 2)))
        yield Row(f"memory of the store, {kind}", used["one"], "four processes", used["four"], "MiB")


def used_by(declared: Callable[[], Program], field: str) -> float:
    """MiB of all processes of the program, after a second of reads and orders."""
    program = declared()
    with running(program) as pids, Load() as load:
        for path in ("/api/grpc/users/1", "/api/products/1"):
            load.run(Job(program.url + path, 16, 0.3))
        load.run(Job(f"{program.url}/api/orders", 16, 0.3, ORDER, 201))
        return sum(_kibibytes(pid, field) for pid in pids) / 1024


def _kibibytes(pid: int, field: str) -> int:
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1])
    raise RuntimeError(f"the system does not say the {field} of {pid}")
