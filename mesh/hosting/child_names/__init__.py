"""Lets programs in processes of their own reach the services by the names that their code has for them.

This folder is first in the PYTHONPATH of such a process; Python imports its `sitecustomize` at the start. It may be
another Python than mesh's, without any of mesh's packages: that module imports the standard library only.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from pathlib import Path

from mesh.topology.model import LOOPBACK, Address

#: Names and their addresses, and ports of a container with those in their place, as JSON; read by sitecustomize.py.
VARIABLE, PORTS = "MESH_NAMES", "MESH_PORTS"

Names = Mapping[tuple[str, int], Address]


def variables(names: Names, environment: Mapping[str, str], ports: Mapping[int, int] | None = None) -> dict[str, str]:
    """Return what makes a Python process redirect these names; nothing if each is where it says.

    ports: those that its code listens on, with the ones to listen on instead.
    """
    table = {f"{host}:{port}": [to.host, to.port] for (host, port), to in names.items() if _differs(host, port, to)}
    if not table and not ports:
        return {}
    path = os.pathsep.join(filter(None, [str(Path(__file__).parent), environment.get("PYTHONPATH")]))
    moved = {PORTS: json.dumps(ports)} if ports else {}
    return {VARIABLE: json.dumps(table), "PYTHONPATH": path, **moved}


def rewritten(env: Mapping[str, str], names: Names) -> dict[str, str]:
    """Return variables with the names in their values, `users:8080` or `//db/`, replaced by addresses.

    Programs in other languages have no other way to reach them.
    """
    found = dict(env)
    for (host, port), to in names.items():
        if host == LOOPBACK or not to.port:
            continue
        address = f"{_reached(to)}:{to.port}"
        explicit = re.compile(rf"(?<![\w.-]){re.escape(host)}:{port or '[0-9]+'}(?!\d)", re.IGNORECASE)
        implied = re.compile(rf"(?:(?<=//)|(?<=@)){re.escape(host)}(?=[/?]|$)", re.IGNORECASE)
        for name, value in env.items():
            found[name] = explicit.sub(address, found[name])
            if _scheme_port(value) == port or not port:
                found[name] = implied.sub(address, found[name])
    return found


def _scheme_port(url: str) -> int:
    """Return the port that a URL without one means; 0 if that is not known."""
    return _PORTS.get(re.split(r"[+:]", url, maxsplit=1)[0].lower(), 0)


_PORTS = {"http": 80, "https": 443, "postgres": 5432, "postgresql": 5432, "redis": 6379, "mysql": 3306} | {
    "amqp": 5672,
    "mongodb": 27017,
}


def _differs(host: str, port: int, to: Address) -> bool:
    return bool(to.port) and (host != LOOPBACK or port != to.port)


def _reached(address: Address) -> str:
    return f"[{address.host}]" if ":" in address.host else address.host
