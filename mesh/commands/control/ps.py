"""`mesh ps`: shows what runs."""

from __future__ import annotations

import json

import click

from mesh.commands.project import project_folder
from mesh.commands.terminal.streams import write_lines
from mesh.observing.escaping import escaped


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print the state as JSON.")
def ps(as_json: bool) -> int:
    """Show the running services of this project, with their addresses."""
    from mesh.control.client import alive, ask

    meshes = [{"pid": each.pid, "url": each.url, **ask(each, "GET", "/api/state")} for each in alive(project_folder())]
    if as_json:
        click.echo(json.dumps(meshes, indent=2))
    elif not meshes:
        write_lines("mesh: no mesh of this project is running; start it with `mesh up`", err=True)
    else:
        for mesh in meshes:
            write_lines(f"{mesh['topology']}  pid {mesh['pid']}  {mesh['url']}")
            width = max(len(service["name"]) for service in mesh["services"])
            for service in mesh["services"]:
                grpc = "grpcs" if "grpc" in service["tls"] else "grpc"
                places = [*service["http"], *([f"{grpc} {service['grpc']}"] if service["grpc"] else [])]
                places += [f"tcp {address}" for address in service.get("tcp", ())]
                parts = [f"{service['state']:<8}", *places, escaped(service["reason"] or "")]
                write_lines(f"  {service['name']:<{width}}  {'  '.join(parts)}".rstrip())
    return 0 if meshes else 1
