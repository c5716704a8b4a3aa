"""Requests through the gateway to the user service, and how long each takes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from functools import partial
from statistics import median

from benchmarks.load import Job, Load, Result
from benchmarks.programs import flask, four_processes, mesh, running
from benchmarks.rounds import Effort, in_turn
from benchmarks.table import Goal, Row

#: Of the rate, by program and number of requests at once.
GOALS = {
    ("Flask + requests", 16): Goal("at least", 5),
    ("four processes", 16): Goal("at least", 1.2),
    ("mesh up --no-record", 16): Goal("at least", 0.95),
}
P99 = {("four processes", 16): Goal("at most", 1)}


def rows(effort: Effort) -> Iterator[Row]:
    programs = {
        "mesh": mesh(),
        "four processes": four_processes(),
        "Flask + requests": flask(),
        "mesh up --no-pin": mesh(flags=("--no-pin",)),
        "mesh up --no-record": mesh(flags=("--no-record",)),
    }
    routes = {name: "/api/users/1" if name.startswith("Flask") else "/api/grpc/users/1" for name in programs}
    with ExitStack() as stack:
        for program in programs.values():
            stack.enter_context(running(program))
        load = stack.enter_context(Load())
        for concurrency in (1, 16, 64):
            jobs = {
                name: Job(program.url + routes[name], concurrency, effort.seconds) for name, program in programs.items()
            }
            results = in_turn({name: _run(load, job) for name, job in jobs.items()}, effort.rounds)
            yield from _compared(f"gateway -> user, {concurrency} at once", concurrency, results)


def _run(load: Load, job: Job) -> Callable[[], Result]:
    return partial(load.run, job)


def _compared(what: str, concurrency: int, results: Mapping[str, list[Result]]) -> Iterator[Row]:
    rates = {name: median(result.rate for result in each) for name, each in results.items()}
    p50 = {name: median(result.p50 for result in each) for name, each in results.items()}
    p99 = {name: median(result.p99 for result in each) for name, each in results.items()}
    for other in results:
        if other != "mesh":
            goal = GOALS.get((other, concurrency))
            yield Row(what, rates["mesh"], other, rates[other], "/s", goal)
            yield Row(f"{what}: p50", p50["mesh"], other, p50[other], "ms")
            yield Row(f"{what}: p99", p99["mesh"], other, p99[other], "ms", P99.get((other, concurrency)))
