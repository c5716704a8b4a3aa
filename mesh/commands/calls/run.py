"""`mesh run`: one command in the world of a service."""

from __future__ import annotations

import os
from typing import NoReturn

import click

from mesh.commands.project import current_folder, project_folder


@click.command(context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
@click.argument("name")
@click.argument("words", nargs=-1, required=True, type=click.UNPROCESSED, metavar="-- COMMAND...")
def run(name: str, words: tuple[str, ...]) -> NoReturn:
    """Run COMMAND as the service NAME would: in its folder, with its variables, its packages and its neighbours.

    Host names of the topology lead to the services of the mesh that runs, or else to their declared ports.
    """
    words = words[1:] if words[0] == "--" else words
    if not words:
        raise click.UsageError("expected a command, such as: mesh run NAME -- python manage.py migrate")
    from mesh.control.client import addresses_in, running_services
    from mesh.errors import MeshError
    from mesh.runtime.instances.command_environment import command_environment
    from mesh.store.topology import store
    from mesh.topology.directory import KINDS, Directory
    from mesh.topology.loading import load
    from mesh.topology.selection import select

    declared = load(None, current_folder(), store)
    select(declared, [name])
    service = declared[name]
    running = {
        (state["name"], kind): addresses
        for state in running_services(project_folder())
        for kind in KINDS
        if (addresses := addresses_in(state, kind))
    }
    environment = command_environment(service, declared, Directory.of(declared, running), {})
    os.chdir(service.root or declared.folder)
    try:
        os.execvpe(words[0], words, environment)
    except OSError as error:
        raise MeshError(f"{words[0]} cannot be run in the world of {name}: {error.strerror}") from None
