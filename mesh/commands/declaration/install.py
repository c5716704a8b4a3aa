"""`mesh install`: makes an environment for each service that has requirements and none."""

from __future__ import annotations

from pathlib import Path

import click

from mesh.commands.terminal.streams import write_lines


@click.command()
@click.argument("names", nargs=-1, metavar="[NAME]...")
def install(names: tuple[str, ...]) -> int:
    """Install the requirements of each service, or of those named, that has no virtual environment.

    Reads requirements*.txt, pyproject.toml with uv.lock or poetry.lock, or a Pipfile, in the service's folder or above
    it, or what its table names.
    Services with the same requirements share an environment under .mesh/venvs/.
    """
    from mesh.errors import MeshError, UsageError
    from mesh.hosting.packages.installation import install
    from mesh.hosting.packages.requirement_files import requirements_of
    from mesh.hosting.packages.requirements import are_met
    from mesh.store.topology import store
    from mesh.suggestions import no_such
    from mesh.topology.loading import load
    from mesh.virtualenv import nearest_virtualenv

    topology = load(None, Path.cwd(), store)
    known = [service.name for service in topology]
    if wrong := [name for name in names if name not in known]:
        raise UsageError(no_such("service", wrong[0], known))
    failed = 0
    for service in topology:
        if (names and service.name not in names) or service.image is not None:
            continue
        root = service.root or topology.folder
        files = requirements_of(service, topology.folder)
        if service.python is not None or nearest_virtualenv(root, topology.folder) is not None:
            write_lines(f"{service.name}: has a virtual environment")
        elif files is None:
            write_lines(f"{service.name}: has no requirements to install")
        elif are_met(files):
            write_lines(f"{service.name}: has what it requires in mesh's own environment")
        else:
            try:
                made = install(topology.folder, files, lambda text: write_lines(f"{text} ...", err=True))
                write_lines(f"{service.name}: uses {made.relative_to(topology.folder)}")
            except MeshError as error:
                failed += 1
                write_lines(f"mesh: {service.name}: {error}", err=True)
    return 1 if failed else 0
