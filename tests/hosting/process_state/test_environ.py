"""Environment variables that one service sees and no other."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.hosting.conftest import Hosted

SHOW = [sys.executable, "-c", "import os; print(os.environ.get('WHO', 'nobody'))"]


def test_each_service_sees_its_own_and_the_process_neither(hosted: Hosted) -> None:
    one, two = hosted.add("one", {"WHO": "one"}), hosted.add("two", {"WHO": "two"})
    for service in (one, two):
        assert hosted.within(service, os.getenv, "WHO") == service.name
        assert hosted.within(service, lambda: os.environ.copy())["WHO"] == service.name
        assert hosted.within(service, lambda: os.environb[b"WHO"]) == service.name.encode()
        assert hosted.within(service, lambda: "PATH" in os.environ and "WHO" in os.environ)
    assert "WHO" not in os.environ


def test_what_a_service_writes_stays_with_it(hosted: Hosted) -> None:
    one, two = hosted.add("one"), hosted.add("two")

    def write() -> None:
        os.environ["WHO"] = "one"
        os.environ.pop("PATH")
        os.environ.setdefault("NEW", "1")
        os.putenv("WHO", "put")
        os.unsetenv("HOME")

    hosted.within(one, write)
    assert hosted.within(one, lambda: (os.environ["WHO"], os.environ["NEW"], os.environ.get("PATH"))) == (
        "one",
        "1",
        None,
    )
    assert hosted.within(two, lambda: "WHO" in os.environ or "PATH" not in os.environ) is False
    assert "WHO" not in os.environ
    assert subprocess.run([*SHOW], capture_output=True, text=True, check=True).stdout == "nobody\n"


async def _asynchronously() -> str:
    process = await asyncio.create_subprocess_exec(*SHOW, stdout=asyncio.subprocess.PIPE)
    return (await process.communicate())[0].decode()


@pytest.mark.parametrize("loop", ["own", "plain"])
def test_its_children_inherit_it(loop: str, hosted: Hosted) -> None:
    one = hosted.add("one", {"WHO": "one"})
    factory: Callable[[], asyncio.AbstractEventLoop] = hosted.isolation.new_event_loop
    if loop == "plain":
        factory = asyncio.new_event_loop

    def run() -> str:
        with asyncio.Runner(loop_factory=factory) as runner:
            return runner.run(_asynchronously())

    assert hosted.within(one, run) == "one\n"
    assert hosted.within(one, subprocess.check_output, SHOW) == b"one\n"
    assert hosted.within(one, subprocess.check_output, SHOW, env={"WHO": "given"}) == b"given\n"
    assert hosted.within(one, subprocess.getoutput, "echo $WHO") == "one"


def test_its_threads_and_pools_see_it(hosted: Hosted) -> None:
    one, two = hosted.add("one", {"WHO": "one"}), hosted.add("two", {"WHO": "two"})
    with ThreadPoolExecutor(1) as pool:
        for service in (one, two):
            assert hosted.within(service, pool.submit, os.getenv, "WHO").result() == service.name


@pytest.fixture
def before() -> Any:
    """The mapping before the isolation opens: another isolation's in a run that has the `mesh` fixture open."""
    return vars(os.environ)["_data"]


def test_afterwards_everything_is_as_before(before: Any, hosted: Hosted) -> None:
    data = vars(os.environ)["_data"]
    hosted.isolation.uninstall()
    assert vars(os.environ)["_data"] is before
    assert vars(os.environ)["_data"] is vars(os.environb)["_data"]
    hosted.isolation.install()
    assert vars(os.environ)["_data"] is not data
