"""The difference between two readings of a topology. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from mesh.topology.model import Topology


@dataclass(frozen=True, slots=True)
class Difference:
    """Names of services: removed, changed and added ones."""

    gone: frozenset[str]
    changed: frozenset[str]
    added: frozenset[str]


def difference(before: Topology, after: Topology) -> Difference:
    """Return what has changed between the two; a change of the project's protos changes every service."""
    old, new = ({service.name: service for service in topology} for topology in (before, after))
    kept = old.keys() & new.keys()
    changed = {name for name in kept if old[name] != new[name] or before.protos != after.protos}
    return Difference(frozenset(old.keys() - kept), frozenset(changed), frozenset(new.keys() - kept))
