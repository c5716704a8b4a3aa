"""What has changed between two readings of a topology. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from mesh.topology.model import Topology


@dataclass(frozen=True, slots=True)
class Difference:
    """Names of services: those declared no more, those declared otherwise, and those declared anew."""

    gone: frozenset[str]
    changed: frozenset[str]
    added: frozenset[str]


def difference(before: Topology, after: Topology) -> Difference:
    """What stays as it was is in none of the three; a change of the project's protos is a change of every service."""
    old, new = ({service.name: service for service in topology} for topology in (before, after))
    kept = old.keys() & new.keys()
    changed = {name for name in kept if old[name] != new[name] or before.protos != after.protos}
    return Difference(frozenset(old.keys() - kept), frozenset(changed), frozenset(new.keys() - kept))
