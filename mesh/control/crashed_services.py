"""Services whose native code has crashed a mesh of the project: each runs in a process of its own from then on.

They are kept in `.mesh/crashed.json`, by name, until their table says where they run.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from datetime import date
from pathlib import Path

from mesh.control.crash_note import LastEnd
from mesh.state_folder import state_folder, writing
from mesh.topology.model import Topology


def crashed_services(declared: Topology, ends: Iterable[LastEnd]) -> dict[str, str]:
    """Return these services with a sentence each, those that have just been found to have crashed included."""
    path = declared.folder / ".mesh" / "crashed.json"
    before = _read(path)
    new = {each.crashed: date.today().isoformat() for each in ends if each.crashed is not None}
    movable = {each.name for each in declared if each.isolation is None and not each.is_process}
    kept = {name: day for name, day in {**before, **new}.items() if name in movable}
    if kept != before:
        _write(path, kept)
    way_out = 'isolation = "thread" in its table overrules that'
    return {
        name: f"its native code crashed the process on {day}, so it runs in one of its own; {way_out}"
        for name, day in kept.items()
    }


def _read(path: Path) -> dict[str, str]:
    try:
        found = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _write(path: Path, crashed: dict[str, str]) -> None:
    if not crashed:
        path.unlink(missing_ok=True)
        return
    state_folder(path.parent.parent)
    with writing(path.parent):
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            json.dump(crashed, file)
