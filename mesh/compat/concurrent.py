"""The size of a ThreadPoolExecutor."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor


def max_workers(pool: ThreadPoolExecutor) -> int:
    """Return how many threads the pool starts at most."""
    return pool._max_workers
