"""Time from saving a file to the first answer of its code, in services of more and more modules."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from statistics import median

from benchmarks.live import Project, p99
from benchmarks.programs import Program, running
from benchmarks.rounds import Effort, in_turn
from benchmarks.table import Goal, Row

#: The application asks `module0`, which asks the edited module; it imports the other modules, and no module them.
_FIRST = """\
{imports}
from parts import module9

def chain():
    return module9.chain()
"""
_MODULE = """\
import logging
from dataclasses import dataclass

logger = logging.getLogger(__name__)

@dataclass
class Item:
    name: str
    price: float

@dataclass
class Order:
    items: list[Item]
    paid: bool = False
"""
_SLOW = "import time\ntime.sleep(0.3)\n"
#: It imports opentelemetry, and is executed for each service where that can be set up, as in this environment.
_FASTAPI = """\
import fastapi
from parts import module0

app = fastapi.FastAPI()

@app.get("/")
async def index() -> fastapi.responses.PlainTextResponse:
    return fastapi.responses.PlainTextResponse(module0.chain())

@app.get("/health")
async def health() -> str:
    return "fine"
"""
SIZES = {
    "10 modules": 10,
    "100 modules": 100,
    "300 modules": 300,
    "10 modules, one takes 300 ms": 10,
    "10 modules, FastAPI": 10,
}


def rows(effort: Effort) -> Iterator[Row]:
    """Compare with uvicorn --reload, and with uvicorn-hmr where it is installed (Python 3.12 and later)."""
    for name, count in SIZES.items():
        with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
            modules = _modules(count, is_slow="300 ms" in name)
            if "FastAPI" in name:
                modules["app.py"] = _FASTAPI
            subjects = {}
            for server, (project, program) in _servers(Path(folder), modules).items():
                stack.enter_context(running(program))
                subjects[server] = project.milliseconds_to_live
            took = in_turn(subjects, effort.rounds * 4 if effort.rounds > 1 else 1)
            ours = took.pop("mesh")
            what = f"save to answer, {name}"
            for server, theirs in took.items():
                yield Row(f"{what}: p50", median(ours), server, median(theirs), "ms", Goal("at most", 25, "figure"))
                yield Row(f"{what}: p99", p99(ours), server, p99(theirs), "ms", Goal("at most", 50, "figure"))


def _servers(folder: Path, modules: Mapping[str, str]) -> Mapping[str, tuple[Project, Program]]:
    ours, reload = Project(folder / "mesh", modules), Project(folder / "reload", modules)
    servers = {"mesh": (ours, ours.mesh()), "uvicorn --reload": (reload, reload.uvicorn())}
    if Path(sys.executable).with_name("uvicorn-hmr").exists():
        hmr = Project(folder / "hmr", modules)
        servers["uvicorn-hmr"] = hmr, hmr.uvicorn_hmr()
    return servers


def _modules(count: int, is_slow: bool) -> dict[str, str]:
    """Return the files of so many modules, the edited one among them."""
    others = [f"other{number}" for number in range(count - 2)]
    files = {f"parts/{name}.py": _MODULE for name in others}
    if is_slow:
        files["parts/other0.py"] = _SLOW
    files["parts/module0.py"] = _FIRST.format(imports="\n".join(f"from parts import {name}" for name in others))
    return files
