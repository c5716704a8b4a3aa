"""The difference between two readings of a topology. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from msgspec import Struct

from mesh.topology.model import Service, Topology


class Difference(Struct, frozen=True):
    """Names of services: removed, changed and added ones."""

    gone: frozenset[str]
    changed: frozenset[str]
    added: frozenset[str]


def edits(before: Topology, after: Topology, found: Difference) -> Iterator[tuple[str, str]]:
    """Yield each service that an edit of the declaration concerns, and what it does to it, in declared order."""
    for service in before:
        if service.name in found.gone:
            yield service.name, "removed: it is no longer declared"
    for service in after:
        if service.name in found.added:
            yield service.name, "added: it is declared now"
        elif service.name in found.changed:
            old, new = _ports(before[service.name]), _ports(service)
            yield service.name, f"moved: {old} -> {new}" if old != new else "restarting: it is declared differently"


def _ports(service: Service) -> str:
    return " ".join(f"{each.kind} {', '.join(map(str, each.ports))}" for each in service.listeners) or "no ports"


def difference(before: Topology, after: Topology) -> Difference:
    """Return what has changed between the two; a change of the project's protos changes every service."""
    old, new = ({service.name: service for service in topology} for topology in (before, after))
    kept = old.keys() & new.keys()
    changed = {name for name in kept if old[name] != new[name] or before.protos != after.protos}
    return Difference(frozenset(old.keys() - kept), frozenset(changed), frozenset(new.keys() - kept))
