"""A pool says how many threads it starts at most."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from mesh.compat.concurrent import max_workers


def test_the_size_is_the_one_that_the_pool_was_made_with() -> None:
    with ThreadPoolExecutor(3) as pool:
        assert max_workers(pool) == 3
    with ThreadPoolExecutor() as pool:
        assert max_workers(pool) > 0
