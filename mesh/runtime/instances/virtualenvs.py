"""Whose packages a service uses."""

from __future__ import annotations

from mesh.topology.model import Service, Topology
from mesh.virtualenv import Virtualenv, nearest_virtualenv


def virtualenv_of(service: Service, declared: Topology) -> Virtualenv | None:
    """Return the service's virtual environment; None if it has none but mesh's own."""
    if service.python is not None:
        found: Virtualenv | None = Virtualenv.at(service.python)
    else:
        found = nearest_virtualenv(service.root or declared.folder, declared.folder)
    return None if found is None or found.is_mesh_own() else found
