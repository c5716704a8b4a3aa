"""The project of the current folder, which holds `.mesh/`."""

from __future__ import annotations

from pathlib import Path

from mesh.errors import MeshError


def current_folder() -> Path:
    """Return the folder in which the command was typed; raises MeshError if it has been deleted."""
    try:
        return Path.cwd()
    except FileNotFoundError:
        raise MeshError("the current folder has been deleted; go to one that exists, then try again") from None


def project_folder() -> Path:
    """Return the nearest folder from here up with a `.mesh/` or a declaration, or else the current folder."""
    here = current_folder()
    for folder in (here, *here.parents):
        if (folder / ".mesh" / "run").is_dir() or (folder / "mesh.toml").is_file():
            return folder
    return here
