"""`mesh install`: installs the requirements of each service that has no environment of its own."""

from __future__ import annotations

import sys
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mesh.commands.terminal.streams import write_lines

if TYPE_CHECKING:
    from mesh.topology.model import Service, Topology


@click.command()
@click.argument("names", nargs=-1, metavar="[NAME]...")
@click.option(
    "--as-of",
    type=click.DateTime(["%Y-%m-%d"]),
    metavar="YYYY-MM-DD",
    help="Take no package that was published after that day.",
)
def install(names: tuple[str, ...], as_of: datetime | None) -> int:
    """Install the requirements of each service, or of those named, that has no virtual environment.

    Reads requirements*.txt, pyproject.toml with uv.lock or poetry.lock, or a Pipfile, in the service's folder or above
    it, or what its table names. Code whose last commit is older than a year gets the packages of that day. Services
    with the same requirements share an environment under .mesh/venvs/. For a command that runs Node, the packages of
    the package.json in its folder are installed there.
    """
    from mesh.errors import MeshError, UsageError
    from mesh.hosting.packages.package_tool import ToolError
    from mesh.store.topology import store
    from mesh.suggestions import no_such
    from mesh.topology.loading import load

    topology = load(None, Path.cwd(), store)
    known = [service.name for service in topology]
    if wrong := [name for name in names if name not in known]:
        raise UsageError(no_such("service", wrong[0], known))
    failed = 0
    for service in topology:
        if (names and service.name not in names) or service.image is not None:
            continue
        try:
            write_lines(f"{service.name}: {_installed(service, topology, as_of and as_of.date())}")
        except MeshError as error:
            if isinstance(error, ToolError) and not error.was_shown:
                sys.stderr.write(error.said)
            failed += 1
            write_lines(f"mesh: {service.name}: {error}", err=True)
    return 1 if failed else 0


def _installed(service: Service, topology: Topology, as_of: date | None) -> str:
    """Install what the service requires, and return what it has now; raises MeshError."""
    from mesh.hosting.packages.environments import lacks_server
    from mesh.hosting.packages.installation import add_package, install, is_for_old_code
    from mesh.hosting.packages.node_packages import node_packages
    from mesh.hosting.packages.pythons import asked_python
    from mesh.hosting.packages.requirement_files import requirements_of
    from mesh.hosting.packages.requirements import are_met
    from mesh.virtualenv import nearest_virtualenv

    def tell(text: str) -> None:
        write_lines(f"{text} ...", err=True)

    project = topology.folder
    left_alone = ", which --as-of leaves alone" if as_of else ""
    if (packages := node_packages(service, project)) is not None:
        if not packages.are_there:
            packages.install(tell)
        return f"has the packages of its package.json{left_alone}"
    if service.python is not None or nearest_virtualenv(service.root or project, project) is not None:
        return f"has a virtual environment{left_alone}"
    files = requirements_of(service, project)
    if files is None:
        return "has no requirements to install"
    if as_of is None and not is_for_old_code(project, files) and are_met(files):
        return "has what it requires in mesh's own environment"
    asked = asked_python(service.root or project, project)
    made = install(project, files, tell, asked, as_of)
    if lacks_server(service, topology):
        tell(f"installing uvicorn, which serves {service.name} there")
        add_package(project, files, "uvicorn")
    return f"uses {made.relative_to(project)}"
