"""Services whose environments cannot share the process."""

from __future__ import annotations

from pathlib import Path

from mesh.hosting.imports.sites.global_libraries import global_libraries
from mesh.hosting.packages.environments import virtualenv_of
from mesh.topology.model import Topology


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
