"""A holder of the GIL is reported afterwards: the service, the function, how long."""

from __future__ import annotations

import gc
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from mesh.observing.journal import Line
from mesh.runtime.diagnostics.collections import FullCollections
from mesh.runtime.diagnostics.gil import GilHolds
from mesh.runtime.diagnostics.watchdog import Watchdog
from tests.support.supervised import PATIENCE, gate, supervised

FASTAPI = """\
import ctypes
import gc

import fastapi
from tests.support.supervised import busy, gate

app = fastapi.FastAPI()


@app.get("/compute")
def compute():
    sum(busy(0.3))
    gate("named").wait(60)


@app.get("/wait")
def wait():
    ctypes.PyDLL(None).usleep(300_000)
    gate("named").wait(60)


@app.get("/collect")
def collect():
    many = [[number] for number in range(500_000)]
    gc.collect()
    gate("named").wait(60)
"""


@pytest.mark.parametrize(
    ("path", "kind", "place"),
    [
        ("/compute", "", "in compute"),
        ("/wait", "a C call", "in wait"),
        ("/collect", "a garbage collection", "in collect"),
    ],
)
def test_a_service_that_held_the_gil_is_named_with_its_function(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str, kind: str, place: str
) -> None:
    monkeypatch.setattr(Watchdog, "tick", 0.02)
    monkeypatch.setattr(GilHolds, "held_for", 0.05)
    files = {"mesh.toml": '[services.web]\nhttp = { port = 0, app = "app:app" }\n', "app.py": FASTAPI}
    with supervised(tmp_path, files) as project:
        asking = threading.Thread(target=project.get, args=("web", path))
        asking.start()
        wanted = ("it held the GIL for more than ", f" s in {kind}", f'{tmp_path}/app.py", line ', place)
        project.wait_for(lambda each: isinstance(each, Line) and all(part in each.text for part in wanted))
        gate("named").set()
        asking.join(PATIENCE)


@pytest.mark.skipif(sys.platform != "linux", reason="another system does not tell how often a thread waits")
def test_a_process_that_was_stopped_blames_nobody() -> None:
    said: list[tuple[str, str]] = []
    holds = GilHolds(dict, dict, lambda *line: said.append(line))
    holds.look_at(5.0, 6.0)
    holds.close()
    assert said == []


@pytest.fixture
def collections() -> Iterator[FullCollections]:
    with closing(FullCollections()) as listening:
        yield listening


@pytest.fixture
def many() -> list[list[int]]:
    """Objects for a collection to look at."""
    return [[number] for number in range(300_000)]


def seconds_of_collections(times: int) -> float:
    """Return how long so many full collections take, one after the other."""
    began = time.perf_counter()
    for _ in range(times):
        gc.collect()
    return time.perf_counter() - began


@pytest.mark.usefixtures("many")
def test_full_collections_that_follow_each_other_are_counted_together(collections: FullCollections) -> None:
    took = seconds_of_collections(4)
    assert collections.took_most_of(took, took)


@pytest.mark.usefixtures("many")
def test_a_full_collection_just_before_is_not_taken_for_the_holder(collections: FullCollections) -> None:
    gc.collect()
    assert not collections.took_most_of(60, 60)
    took = seconds_of_collections(1)
    assert collections.took_most_of(took, took)
