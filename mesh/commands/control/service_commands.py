"""`mesh start`, `mesh stop` and `mesh restart`: control one running service."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import click

from mesh.commands.project import project_folder
from mesh.commands.terminal.streams import write_lines
from mesh.observing.escaping import escaped

if TYPE_CHECKING:
    from mesh.control.state import Running

#: The states in which each command counts as done.
_DONE = {"start": ("ready", "done", "failed"), "restart": ("ready", "done", "failed"), "stop": ("stopped",)}


@click.command()
@click.argument("name")
def start(name: str) -> int:
    """Start service NAME, which was stopped or has failed."""
    return control("start", name)


@click.command()
@click.argument("name")
def stop(name: str) -> int:
    """Stop service NAME and close its ports; the others keep running."""
    return control("stop", name)


@click.command()
@click.argument("name")
def restart(name: str) -> int:
    """Restart service NAME with its current code; its ports stay open."""
    return control("restart", name)


def control(what: str, name: str) -> int:
    """Send the command to the mesh that runs the service, wait until it is done, and print the result."""
    from mesh.control.client import ask

    running = mesh_of(name)
    before = state_of(running, name)
    ask(running, "POST", f"/api/services/{name}/{what}")
    deadline = time.monotonic() + 30
    while not _is_done(what, before, after := state_of(running, name)) and time.monotonic() < deadline:
        time.sleep(0.02)
    write_lines(f"{name}  {after['state']}" + (f"  {escaped(after['reason'])}" if after["reason"] else ""))
    return 0 if _is_done(what, before, after) and not after["reason"] else 1


def _is_done(what: str, before: dict[str, Any], after: dict[str, Any]) -> bool:
    if what == "stop" and after["state"] == "failed":
        return bool(after["reason"] != before["reason"])  # It does not stop.
    if after["state"] not in _DONE[what]:
        return False
    if what == "restart":
        return bool(after["generation"] > before["generation"] or after["reason"])
    return True


def mesh_of(name: str) -> Running:
    """Return the mesh of this project that runs the service; raises UsageError if there is none."""
    from mesh.control.client import alive
    from mesh.errors import UsageError
    from mesh.suggestions import no_such

    meshes = alive(project_folder())
    for running in meshes:
        if name in running.services:
            return running
    names = [each for running in meshes for each in running.services]
    if not names:
        raise UsageError("no mesh of this project is running; start it with `mesh up`")
    raise UsageError(no_such("service", name, names))


def state_of(running: Running, name: str) -> dict[str, Any]:
    from mesh.control.client import ask

    found: dict[str, Any] = next(each for each in ask(running, "GET", "/api/state")["services"] if each["name"] == name)
    return found
