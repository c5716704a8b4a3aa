"""`mesh down`: stops what runs."""

from __future__ import annotations

import contextlib
import time

import click

from mesh.commands.project import project_folder
from mesh.commands.terminal.streams import write_lines


@click.command()
def down() -> int:
    """Stop every mesh of this project, as Ctrl-C would."""
    from mesh.control.client import alive, ask
    from mesh.errors import MeshError

    meshes = alive(project_folder())
    if not meshes:
        write_lines("mesh: no mesh of this project is running", err=True)
        return 1
    for running in meshes:
        # It may be gone before it has answered; the loop below finds out.
        with contextlib.suppress(MeshError):
            ask(running, "POST", "/api/stop")
    patience = time.monotonic() + 10
    while left := alive(project_folder()):
        if time.monotonic() > patience:
            raise MeshError(f"pid {left[0].pid} still runs after 10 s; see its state at {left[0].url}")
        time.sleep(0.05)
    for running in meshes:
        write_lines(f"stopped pid {running.pid}")
    return 0
