"""Drafts the files of `mesh init` from a Compose file, else from the contents of the folder, else from an example."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from mesh.errors import UsageError
from mesh.topology.drafting.compose import FILES
from mesh.topology.drafting.compose_services import sketches_of
from mesh.topology.drafting.discovery import discover, proto_folders, relative
from mesh.topology.drafting.example import EXAMPLE
from mesh.topology.drafting.sketch import Ports, mesh_toml
from mesh.topology.loading import declares_itself


@dataclass(frozen=True, slots=True)
class Draft:
    """Files to write: each path, relative to the folder, with its text; `origin` says what they were drafted from."""

    origin: str
    files: Mapping[Path, str]


def draft(folder: Path) -> Draft:
    """Return the files that make `mesh up` run what is in `folder`; nothing is written or imported here.

    Raises UsageError if the folder already declares a topology, if a file to be written exists, and for a Compose
    file that cannot be read.
    """
    folder = Path(os.path.abspath(folder))
    if declared := declares_itself(folder):
        raise UsageError(f"{declared.name} already declares a topology; edit it, and see `mesh check`")
    found = _from_compose(folder) or _from_files(folder) or Draft("an example", EXAMPLE)
    for path in found.files:
        if os.path.lexists(folder / path):
            raise UsageError(
                f"{path} already exists, and mesh overwrites nothing; move it away, or use an empty folder"
            )
    return found


def _from_compose(folder: Path) -> Draft | None:
    file = next((folder / name for name in FILES if (folder / name).is_file()), None)
    if file is None:
        return None
    project, sketches, remarks = sketches_of(file)
    if not sketches:
        raise UsageError("\n".join([f"{file.name}: it has no service that mesh could run", *remarks]))
    return Draft(file.name, {Path("mesh.toml"): mesh_toml(project, file.name, sketches, (), remarks)})


def _from_files(folder: Path) -> Draft | None:
    sketches = discover(folder, Ports())
    if not sketches:
        return None
    protos = [relative(place, folder) for place in proto_folders(folder)]
    origin = "what this folder holds"
    text = mesh_toml(folder.name or "mesh", origin, sketches, protos, ["ports are read from the code, or chosen"])
    return Draft(origin, {Path("mesh.toml"): text})
