"""The collectors of a prometheus_client registry."""

from __future__ import annotations

from typing import Any


def is_registered(registry: Any, collector: Any) -> bool:
    """Return whether the registry has the collector."""
    return collector in registry._collector_to_names
