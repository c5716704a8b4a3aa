"""The environment of a command: the search path for programs, its ports, and the other services."""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from mesh.hosting import child_names
from mesh.hosting.clients.proxies import past_proxies
from mesh.hosting.images import containers
from mesh.hosting.packages.environments import installed_for
from mesh.topology.directory import Directory, variable_of
from mesh.topology.model import Address, Kind, Service, Topology
from mesh.virtualenv import VENVS, Virtualenv


def command_environment(
    service: Service,
    declared: Topology,
    directory: Directory,
    addresses: Mapping[Kind, Sequence[Address]],
    moved: Mapping[int, int] | None = None,
) -> dict[str, str]:
    """Return this process's variables, those that describe the topology, and the service's own, which win.

    Names of services in the service's own variables become addresses, except in a container, and a Python process looks
    them up in MESH_NAMES.
    PATH begins with the virtual environments and Node's programs of the service and of the project, and with mesh's
    own programs, so that `python` and `uvicorn` are found although no environment is activated.
    addresses: where the command listens. moved: ports of its container, with those that are published for them.
    """
    found = {
        variable_of(name, kind): str(address)
        for (name, kind), address in directory.addresses.items()
        if address.port  # 0 is any free port, of a service that does not run here
    }
    own = addresses.get("http") or addresses.get("grpc") or addresses.get("tcp")
    port = {"PORT": str(own[0].port)} if own else {}
    path = os.pathsep.join([*map(str, _programs(service, declared)), os.environ.get("PATH", os.defpath)])
    proxies = past_proxies(os.environ, (each.name for each in declared))
    names = directory.reachable(declared)
    is_contained = service.image is not None and containers.engine() is not None
    own_variables = service.env if is_contained else child_names.rewritten(service.env, names)
    # Into a pipe, Python would buffer lines; show them as they are printed.
    variables = {"PYTHONUNBUFFERED": "1", **os.environ, **proxies, **found, **port, "PATH": path, **own_variables}
    return {**variables, **child_names.variables(names, variables, moved)}


def starts_python(command: str, path: str) -> bool:
    """Return whether a command line, as typed in a shell, names Python or one of its scripts. path: where it looks."""
    words = set(re.split(r"[\s;&|()'\"]+", command))
    names = {os.path.basename(word) for word in words}
    return any(name.startswith("python") or name.endswith(".py") for name in names) or any(
        _is_script_of_python(found) for word in words if (found := shutil.which(word, path=path))
    )


def _is_script_of_python(file: str) -> bool:
    try:
        with open(file, "rb") as opened:
            first = opened.read(300)  # of a long path, pip writes a script for the shell that names Python
    except OSError:
        return False
    return first.startswith(b"#!") and b"python" in first


def _programs(service: Service, declared: Topology) -> Iterator[Path]:
    if service.python is not None and (own := Virtualenv.at(service.python).python) is not None:
        yield own.parent
    root = service.root or declared.folder
    inner = (root, *root.parents) if root.is_relative_to(declared.folder) else (root,)
    for folder in (folder for folder in inner if folder.is_relative_to(declared.folder) or folder == root):
        yield from (folder / name / "bin" for name in VENVS if (folder / name / "bin").is_dir())
        yield from [programs] if (programs := folder / "node_modules" / ".bin").is_dir() else []
    if (made := installed_for(service, declared.folder)) is not None:
        yield made / "bin"
    yield Path(sys.executable).parent
