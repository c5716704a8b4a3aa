"""A registry tells which collectors it has."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter

from mesh.compat.prometheus import is_registered


def test_a_collector_is_found_until_it_is_unregistered() -> None:
    registry = CollectorRegistry()
    counter = Counter("calls", "Calls.", registry=registry)
    assert is_registered(registry, counter)
    registry.unregister(counter)
    assert not is_registered(registry, counter)
