"""Whose packages a service uses."""

from __future__ import annotations

from pathlib import Path

from mesh.hosting.installation import installed
from mesh.hosting.requirement_files import requirement_files
from mesh.topology.model import Service, Topology
from mesh.virtualenv import Virtualenv, nearest_virtualenv


def virtualenv_of(service: Service, declared: Topology) -> Virtualenv | None:
    """Return the service's virtual environment; None if it has none but mesh's own."""
    root, project = service.root or declared.folder, declared.folder
    if service.python is not None:
        found: Virtualenv | None = Virtualenv.at(service.python)
    else:
        found = nearest_virtualenv(root, project)
        if found is None and (made := installed_for(root, project)) is not None:
            found = Virtualenv.at(made)
    return None if found is None or found.is_mesh_own() else found


def installed_for(root: Path, project: Path) -> Path | None:
    """Return the environment that `mesh install` has made for the requirements in these folders as they are now."""
    if not (project / ".mesh" / "venvs").is_dir():
        return None
    files = requirement_files(root, project)
    return None if files is None else installed(project, files)
