"""Where the project of the current folder keeps its `.mesh/`."""

from __future__ import annotations

from pathlib import Path

from mesh.errors import MeshError


def current_folder() -> Path:
    """Where the command was typed; MeshError where that folder is gone."""
    try:
        return Path.cwd()
    except FileNotFoundError:
        raise MeshError("the current folder has been deleted; go to one that exists, then try again") from None


def project_folder() -> Path:
    """The nearest folder from here up with a `.mesh/` or a declaration; the current one where there is none."""
    here = current_folder()
    for folder in (here, *here.parents):
        if (folder / ".mesh" / "run").is_dir() or (folder / "mesh.toml").is_file():
            return folder
    return here
