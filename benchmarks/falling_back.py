"""Cost of an order if gRPC is refused and both services are asked over HTTP instead."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from statistics import median

from benchmarks.load import Job, Load
from benchmarks.programs import mesh, running
from benchmarks.rounds import Effort, in_turn
from benchmarks.table import Goal, Row

ORDER = '{"user_id":1,"product_id":1,"quantity":2}'


def rows(effort: Effort) -> Iterator[Row]:
    refused, healthy = mesh("user-service.grpc", "product-service.grpc"), mesh()
    with running(refused), running(healthy), Load() as load:
        for concurrency in (1, 16):
            runs = {
                name: partial(load.run, Job(f"{program.url}/api/orders", concurrency, effort.seconds, ORDER, 201))
                for name, program in (("refused", refused), ("healthy", healthy))
            }
            results = in_turn(runs, effort.rounds)
            p50 = {name: median(result.p50 for result in each) for name, each in results.items()}
            goal = Goal("at most", 1.5) if concurrency == 1 else None
            what = f"order, gRPC refused, {concurrency} at once: p50"
            yield Row(what, p50["refused"], "gRPC healthy", p50["healthy"], "ms", goal)
