"""Leaks: after many reloads a process holds what it held before."""

from __future__ import annotations

import gc
import os
import re
import resource
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from mesh.runtime.generation.generation import Generation
from mesh.service import ServiceContext
from tests.support.editing import Edited, toml
from tests.support.garbage import settled

FLASK = """
    from flask import Flask
    app = Flask(__name__)

    @app.get("/")
    def index():
        return "fine"
"""
STARLETTE = """
    from starlette.applications import Starlette
    from starlette.concurrency import run_in_threadpool
    from starlette.responses import PlainTextResponse
    from starlette.routing import Route

    async def index(request):
        return PlainTextResponse(await run_in_threadpool(str, "fine"))

    app = Starlette(routes=[Route("/", index)])
"""
FASTAPI = """
    import logging
    from fastapi import FastAPI
    from pydantic import BaseModel

    logging.basicConfig(level=logging.INFO, force=True)

    class Answer(BaseModel):
        text: str

    app = FastAPI()

    @app.get("/")
    def index() -> Answer:
        return Answer(text="fine")
"""
GRPC = """
    import talk_pb2, talk_pb2_grpc

    class Talk(talk_pb2_grpc.TalkServicer):
        def Say(self, request, context):
            return request
"""
#: A module that each reload carries over.
CARRIED = """
    import logging
    from dataclasses import dataclass

    logger = logging.getLogger(__name__)

    @dataclass
    class Item:
        name: str = ""
"""
PROTO = """
    syntax = "proto3";
    service Talk { rpc Say(Word) returns (Word); }
    message Word { string text = 1; }
"""


@pytest.mark.parametrize(
    ("code", "times"),
    [(FLASK, 50), (STARLETTE, 200), (FASTAPI, 50), (GRPC, 50), (GRPC.replace("def S", "async def S"), 50)],
    ids=["flask", "starlette", "fastapi", "grpc", "grpc.aio"],
)
def test_reloads_leave_threads_descriptors_modules_and_memory_where_they_were(
    tmp_path: Path, code: str, times: int
) -> None:
    own = 'grpc = {port = 0, servicers = ["app:Talk"]}' if "Talk" in code else 'http = {port = 0, app = "app:app"}'
    files = {"mesh.toml": '[mesh]\nprotos = ["proto"]\n' + toml(one=own), "proto/talk.proto": PROTO}
    gc.collect()
    others = generations()
    code = f"    import carried\n{code}"
    with Edited(tmp_path, {**files, "app.py": code, "carried.py": CARRIED}) as edited:

        def turns(count: int) -> None:
            for _ in range(count):
                if "Talk" in code:
                    edited.mesh.stub("one").Say(text="fine")
                else:
                    edited.get("one")
                line = edited.reload("one", {"app.py": code})
                executed, modules = re.search(r"(\d+) of (\d+) modules", line).groups()  # type: ignore[union-attr]  # else it fails
                # With a descriptor pool of its own, which another mesh's generated code may cause, it carries none.
                assert int(executed) < int(modules) or "Talk" in code
            settle(others + 1)

        turns(20)
        before = census()
        # A leak grows with every turn; what other tests have left in this process, or fragments, does so once.
        assert any(megabytes_more(lambda: turns(times)) < 12 for _ in range(3))
        assert settled(lambda: grown(before)) == {}


def settle(left: int) -> None:
    """Wait until the old generations are gone."""
    assert settled(lambda: max(0, generations() - left)) == 0


def grown(before: dict[str, int]) -> dict[str, int]:
    """Return what grew by more than comes and goes in any process; a leak in a reload is fifty of them at least."""
    after = census()
    return {name: after[name] - before[name] for name in before if after[name] > before[name] + 5}


def generations() -> int:
    # Not by isinstance(): that asks lazy objects of other libraries for their class.
    return sum(type(each) is Generation for each in gc.get_objects())


def census() -> dict[str, int]:
    return {
        # The service's own pool is bounded, and takes a further thread where none happens to be idle.
        "threads": sum(not each.name.startswith("one_") for each in threading.enumerate()),
        "descriptors": len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0,
        "modules": len(sys.modules),
        "contexts": sum(type(each) is ServiceContext for each in gc.get_objects()),
        "finders": len(sys.path_importer_cache),
    }


def megabytes_more(work: Callable[[], None]) -> float:
    before = resident()
    work()
    return resident() - before


def resident() -> float:
    """MiB; what the system does not tell is taken from the highest so far."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() / 2**20
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
