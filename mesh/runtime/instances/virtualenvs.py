"""Whose packages a service uses."""

from __future__ import annotations

from pathlib import Path

from mesh.hosting.imports.sites.global_libraries import global_libraries
from mesh.hosting.packages.installation import installed
from mesh.hosting.packages.requirement_files import requirements_of
from mesh.topology.model import Service, Topology
from mesh.virtualenv import Virtualenv, nearest_virtualenv


def virtualenv_of(service: Service, declared: Topology) -> Virtualenv | None:
    """Return the service's virtual environment; None if it has none but mesh's own."""
    root, project = service.root or declared.folder, declared.folder
    if service.python is not None:
        found: Virtualenv | None = Virtualenv.at(service.python)
    else:
        found = nearest_virtualenv(root, project)
        if found is None and (made := installed_for(service, project)) is not None:
            found = Virtualenv.at(made)
    return None if found is None or found.is_mesh_own() else found


def second_copies(running: Topology, declared: Topology) -> dict[str, str]:
    """Return the services whose environment has a native library of which another service uses another copy.

    By name, with a sentence; the first service in a thread keeps its own.
    """
    told: dict[str, str] = {}
    used: dict[str, tuple[str, Path]] = {}
    in_threads = [each for each in running if not each.is_process and each.isolation != "process"]
    for service in in_threads if len(in_threads) > 1 else ():
        for library, folder in global_libraries(virtualenv_of(service, declared)):
            first, place = used.setdefault(library, (service.name, folder))
            if place != folder:
                told[service.name] = (
                    f"{library} can be loaded once in a process, and {first} has another copy of it: {service.name} "
                    'runs in a process of its own; isolation = "thread" overrules that'
                )
    return told


def installed_for(service: Service, project: Path) -> Path | None:
    """Return the environment that `mesh install` has made for what the service requires as it is now."""
    if not (project / ".mesh" / "venvs").is_dir():
        return None
    files = requirements_of(service, project)
    return None if files is None else installed(project, files)
