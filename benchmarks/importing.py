"""An import statement in a handler, with services that have all names in common."""

from __future__ import annotations

import tempfile
import time
import timeit
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median
from types import ModuleType

from benchmarks.rounds import Effort
from benchmarks.table import Goal, Row
from mesh.hosting.imports.service_code import ServiceCode
from mesh.service import ServiceContext, current_service_var

COUNTS = (1, 4, 64)
STATEMENTS = 10_000

_APP = """\
def own():
    import models
    return models


def shared():
    import json
    return json
"""


class Service:
    def __init__(self, root: Path, number: int) -> None:
        root.mkdir()
        (root / "app.py").write_text(_APP)
        (root / "models.py").write_text(f"NUMBER = {number}\n")
        self.context = ServiceContext(root.name, root)
        self.code = ServiceCode(self.context, [root])
        current_service_var.set(self.context)
        self.own: Callable[[], ModuleType] = self.code.load("app:own")
        self.shared: Callable[[], ModuleType] = self.code.load("app:shared")

    def nanoseconds(self, statement: Callable[[], ModuleType], rounds: int) -> float:
        """Time one statement by the clock of this thread."""
        current_service_var.set(self.context)
        took = timeit.repeat(statement, timer=time.thread_time, number=STATEMENTS, repeat=rounds)
        return median(took) / STATEMENTS * 1e9


def rows(effort: Effort) -> Iterator[Row]:
    """Times of the service that loaded its modules first, since when all others have taken theirs."""
    services: list[Service] = []
    with tempfile.TemporaryDirectory() as folder:
        try:
            for count in COUNTS:
                services += [Service(Path(folder) / f"service-{n}", n) for n in range(len(services), count)]
                first = services[0]
                own, shared = (first.nanoseconds(each, effort.rounds) for each in (first.own, first.shared))
                goal = Goal("at most", 1000, "figure") if count == 64 else None
                what = f"import of an own module, {count} with its name"
                yield Row(what, own, "of a shared module", shared, "ns", goal)
            turns = median(_in_turn(services) for _ in range(effort.rounds))
            yield Row("the same, of 64 services in turn", turns, "of a shared module", shared, "ns")
        finally:
            for service in services:
                service.code.close()


def _in_turn(services: list[Service]) -> float:
    """Nanoseconds of a statement where another service has had its turn between any two."""
    began, count = time.thread_time(), 0
    while count < STATEMENTS:
        for service in services:
            current_service_var.set(service.context)
            service.own()
            count += 1
    return (time.thread_time() - began) / count * 1e9
