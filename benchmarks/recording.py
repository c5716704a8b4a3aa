"""The record of calls: what it takes of memory in the long run, and whether all of it reaches the file.

What it takes of throughput is the row of `mesh up --no-record` in traffic.py.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import psutil
from msgspec.structs import replace

from benchmarks.load import Job, Load
from benchmarks.programs import mesh, running
from benchmarks.rounds import Effort
from benchmarks.table import Goal, Row
from mesh.observing.recorder import Recorder
from mesh.observing.runs import RunFile, new_run
from mesh.observing.span import Span

#: Requests of a soak, and those after which its memory is looked at first: the record in memory is full by then.
SOAK, FULL = 100_000, 20_000
#: Calls a second.
PACE = 2_000


def rows(effort: Effort) -> Iterator[Row]:
    share = min(1.0, effort.rounds / 5)
    soak, full = int(SOAK * share * effort.seconds / 3), int(FULL * share * effort.seconds / 3)
    before, after = memory_after(full, soak, effort.seconds)
    goal = Goal("at most", 1.1)
    yield Row(f"memory (RSS) after {soak:,} requests", after, f"after {full:,}", before, "MiB", goal)
    lost, calls = lost_at(PACE, effort.seconds * 3)
    yield Row(f"not in the file, at {PACE:,} calls a second", lost, "recorded", calls, "", Goal("at most", 0))


def memory_after(first: int, second: int, seconds: float) -> tuple[float, float]:
    """Return the MiB of a mesh after so many requests to one service, and after so many."""
    program = mesh(flags=("--quiet",))
    done, found = 0.0, []
    with running(program) as (pid,), Load() as load:
        for number in (first, second):
            while done < number:
                done += load.run(Job(f"http://127.0.0.1:{program.http[2]}/users/1", 16, seconds)).rate * seconds
            found.append(psutil.Process(pid).memory_info().rss / 1024**2)
    return found[0], found[1]


def lost_at(pace: int, seconds: float) -> tuple[int, int]:
    """Return how many calls, recorded at this pace for so long, are not in the file, and how many were recorded."""
    span = Span("user", "server", "http", "GET", "/users/1", "0" * 32, "0" * 16, None, 0.0, 1.0, "200")
    span.response, span.response_size = b"x" * 1000, 1000
    number = 0
    with tempfile.TemporaryDirectory() as folder:
        file = new_run(Path(folder))
        with closing(Recorder(file, print)) as recorder:
            began = time.monotonic()
            while (now := time.monotonic() - began) < seconds:
                while number < now * pace:
                    number += 1
                    recorder(replace(span, span_id=f"{number:016x}", start=time.time()))
                time.sleep(0.001)
        with closing(RunFile(file)) as run:
            kept = sum(1 for _ in run.entries())
    return number - kept, number
