"""The size and the threads of a ThreadPoolExecutor."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures.thread import _worker


def max_workers(pool: ThreadPoolExecutor) -> int:
    """Return how many threads the pool starts at most."""
    return pool._max_workers


def is_pool_worker(thread: threading.Thread) -> bool:
    """Return True for a thread of a pool that has not started yet."""
    return getattr(thread, "_target", None) is _worker
