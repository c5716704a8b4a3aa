"""`mesh schema`: prints the JSON Schema of mesh.toml."""

from __future__ import annotations

import json

import click

from mesh.commands.terminal.streams import write_lines


@click.command()
def schema() -> int:
    """Print a JSON Schema of mesh.toml, for editors that complete its keys."""
    from mesh.topology.declaration.json_schema import json_schema

    write_lines(json.dumps(json_schema(), indent=2))
    return 0
