"""The recorded runs of the project, as commands read them: of a mesh that runs, and of one that has ended."""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Collection
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from mesh.commands.project import project_folder
from mesh.errors import MeshError, UsageError

if TYPE_CHECKING:
    from mesh.observing.runs import RunFile

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def run_file(number: int) -> Path:
    """Return the file of a run, 1 for the newest; MeshError where there is none."""
    from mesh.observing.runs import run_files

    flush()
    files = run_files(project_folder())
    if not files:
        raise MeshError("no run of this project is recorded here; start one with `mesh up`")
    if number > len(files):
        raise UsageError(f"--run {number}: {len(files)} are recorded, 1 is the newest")
    return files[number - 1]


def flush() -> bool:
    """Let the project's running meshes write what they have recorded so far; return whether there is one."""
    from mesh.control.client import ask
    from mesh.control.state import noted

    is_running = False
    for _, running in noted(project_folder()):
        with contextlib.suppress(MeshError):  # Gone, or suspended: its file holds what it wrote until then.
            ask(running, "POST", "/api/flush", timeout=2.0)
            is_running = True
    return is_running


def open_run(file: Path) -> RunFile:
    """Open a run's file; MeshError where it is damaged."""
    import sqlite3

    from mesh.observing.runs import RunFile

    try:
        return RunFile(file)
    except sqlite3.Error as error:
        raise MeshError(f"{file} cannot be read: {error}; `mesh clean` deletes it") from error


def check_name(name: str, recorded: Collection[str]) -> None:
    """Raise UsageError for the name of a service that neither the run nor the project's declaration knows."""
    from mesh.store.topology import store
    from mesh.suggestions import no_such
    from mesh.topology.loading import load_known

    if name in recorded:
        return
    known = sorted(recorded)
    with contextlib.suppress(MeshError):
        known = sorted({*recorded, *(each.name for each in load_known(project_folder(), store))})
    if name not in known:
        raise UsageError(no_such("service", name, known))


def duration(text: str) -> float:
    """Read `100`, `100ms` or `1.5s` as milliseconds; UsageError otherwise."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)(ms|s)?", text)
    if found is None:
        raise UsageError(f"--slower {text}: write 100ms or 1.5s")
    return float(found[1]) * (1000 if found[2] == "s" else 1)


def moment(text: str, now: float | None = None) -> float:
    """Read `30s`, `5m`, `2h` ago, a time of today as `12:00` or `12:00:01`, or an ISO date; UsageError otherwise."""
    now = time.time() if now is None else now
    if ago := re.fullmatch(r"(\d+(?:\.\d+)?)([smhd])", text):
        return now - float(ago[1]) * _UNITS[ago[2]]
    try:
        if re.fullmatch(r"\d\d:\d\d(:\d\d)?", text):
            return datetime.fromisoformat(f"{datetime.fromtimestamp(now).date()}T{text}").timestamp()
        return datetime.fromisoformat(text).timestamp()
    except ValueError:
        raise UsageError(f"--since {text}: write 30s, 5m, 2h, 12:00:01 or 2026-01-31T12:00") from None
