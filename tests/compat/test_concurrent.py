"""A pool tells how many threads it starts at most, and its threads are told from others."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from mesh.compat.concurrent import is_pool_worker, max_workers


def test_the_size_is_the_one_that_the_pool_was_made_with() -> None:
    with ThreadPoolExecutor(3) as pool:
        assert max_workers(pool) == 3
    with ThreadPoolExecutor() as pool:
        assert max_workers(pool) > 0


def test_a_thread_of_a_pool_is_told_from_another_before_it_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    found = []
    start = threading.Thread.start

    def noting_start(thread: threading.Thread) -> None:
        found.append(is_pool_worker(thread))
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", noting_start)
    with ThreadPoolExecutor(1) as pool:
        pool.submit(int).result()
    thread = threading.Thread(target=int)
    thread.start()
    thread.join()
    assert found == [True, False]
