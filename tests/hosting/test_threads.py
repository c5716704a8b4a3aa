"""A service's own threads belong to it."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from mesh.service import current_service, current_service_var

if TYPE_CHECKING:
    from tests.hosting.conftest import Hosted


class Worker(threading.Thread):
    def run(self) -> None:
        self.found = current_service().name


def test_threads_timers_and_pools_carry_the_service(hosted: Hosted) -> None:
    one, found = hosted.add("one"), []

    def note() -> None:
        found.append(current_service().name)

    def start() -> list[threading.Thread]:
        threads = [threading.Thread(target=note), threading.Timer(0, note), Worker()]
        for thread in threads:
            thread.start()
        return threads

    threads = hosted.within(one, start)
    for thread in threads:
        thread.join(5)
    assert found == ["one", "one"]
    assert threads[2].found == "one"
    assert [vars(thread).get("run") for thread in threads] == [None, None, None]
    with ThreadPoolExecutor(1) as pool:
        assert hosted.within(one, pool.submit, current_service).result() is one
        assert pool.submit(current_service_var.get).result() is None


def test_a_thread_outside_a_service_belongs_to_nobody(hosted: Hosted) -> None:
    found = []
    thread = threading.Thread(target=lambda: found.append(current_service_var.get()))
    thread.start()
    thread.join(5)
    assert found == [None]


def test_a_thread_is_started_once_as_ever(hosted: Hosted) -> None:
    thread = threading.Thread(target=int)

    def twice() -> None:
        thread.start()
        thread.join(5)
        with pytest.raises(RuntimeError, match="threads can only be started once"):
            thread.start()

    hosted.within(hosted.add("one"), twice)
