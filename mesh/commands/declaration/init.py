"""`mesh init`: writes a mesh.toml for the current folder."""

from __future__ import annotations

from pathlib import Path

import click

from mesh.commands.terminal.streams import write_lines


@click.command()
def init() -> int:
    """Write a mesh.toml from a Compose file, from the services found here, or a small example into an empty folder."""
    from mesh.topology.drafting.draft import draft

    drafted = draft(Path.cwd())
    for path, text in drafted.files.items():
        path = Path.cwd() / path
        path.parent.mkdir(parents=True, exist_ok=True)
        # "x": do not overwrite a file created in the meantime.
        with path.open("x") as file:
            file.write(text)
        write_lines(f"wrote {path.relative_to(Path.cwd())}")
    write_lines(f"{drafted.origin}; run it with `mesh up`")
    return 0
