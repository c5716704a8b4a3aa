"""`mesh init`: writes a mesh.toml for what `mesh up` would run here."""

from __future__ import annotations

import os
from pathlib import Path

import click

from mesh.commands.terminal.streams import write_lines


@click.command()
def init() -> int:
    """Write a mesh.toml from a Compose file, from the services found here, or a small example into an empty folder."""
    from mesh.topology.drafting.draft import draft, folder_of
    from mesh.topology.loading import is_bare

    here = Path.cwd()
    folder = here if is_bare(here) else folder_of(here)
    drafted = draft(folder)
    for path, text in drafted.files.items():
        path = folder / path
        path.parent.mkdir(parents=True, exist_ok=True)
        # "x": do not overwrite a file created in the meantime.
        with path.open("x") as file:
            file.write(text)
        write_lines(f"wrote {os.path.relpath(path, here)}")
    write_lines(f"{drafted.origin}; run it with `mesh up`")
    return 0
