"""The services of a Procfile: a command for each process type."""

from __future__ import annotations

import re
from pathlib import Path

from mesh.topology.drafting.container_command import started
from mesh.topology.drafting.listening import Listening, listening
from mesh.topology.drafting.sketch import Ports, Sketch, service_name

FILE = "Procfile"
_ENTRY = re.compile(r"([A-Za-z0-9_-]+):\s*(.+)")
#: The first process type gets this port, each further one a hundred more, as foreman has it.
_FIRST_PORT, _STEP = 5000, 100


def from_procfile(file: Path, ports: Ports) -> list[Sketch]:
    """Return a sketch of each process type; `release`, which Heroku runs before the others, is done before them."""
    sketches: list[Sketch] = []
    entries = [found for line in file.read_text("utf-8-sig").splitlines() if (found := _ENTRY.fullmatch(line.strip()))]
    for number, found in enumerate(entries):
        name = service_name(found[1], [sketch.name for sketch in sketches])
        sketches.append(_sketch(name, found[2], file.parent, ports, _FIRST_PORT + number * _STEP))
    for sketch in sketches:
        if sketch.name == "release":
            sketch.ready, sketch.http_ports = "done", []
            sketch.command, sketch.run = sketch.command or sketch.run, None
        elif any(other.name == "release" for other in sketches):
            sketch.depends_on = ["release"]
    return sketches


def _sketch(name: str, line: str, folder: Path, ports: Ports, wanted: int) -> Sketch:
    start = started(line, {"PORT": str(wanted)}, lambda path: place if (place := folder / path).exists() else None)
    sketch = Sketch(name)
    if start is None or start.before or start.root != folder:
        sketch.command = line
    else:
        sketch.run, sketch.command, sketch.env = start.run, start.command, start.env
    facts = listening(sketch.run, folder) if sketch.run else Listening()
    if facts.http or "PORT" in line or name == "web":
        sketch.http_ports = [ports.take(wanted if "PORT" in line else facts.http_port or wanted)]
    if facts.grpc:
        sketch.grpc_port = ports.take(facts.grpc_port or 50051)
    return sketch
