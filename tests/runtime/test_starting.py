"""The start and the stop of services: their order, what is told, and services that do not become ready."""

from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from msgspec.structs import replace

from mesh import Http, Options, Service, Supervisor, Topology
from mesh.hosting.isolation import Isolation
from mesh.observing.journal import Change, Entry, Line
from mesh.runtime.generation.lifespan import Lifespan
from mesh.runtime.messages import Stop

Start = Callable[..., Supervisor]


async def fine(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "http":
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"fine"})


async def broken(scope: Any, receive: Any, send: Any) -> None:
    raise RuntimeError("no lifespan today") if scope["type"] == "lifespan" else ValueError


async def answering(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": scope["path"].encode()})


class Blocking:
    """An application whose start-up blocks its thread until `go` is set."""

    def __init__(self) -> None:
        self.began, self.go = threading.Event(), threading.Event()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "lifespan":
            return await fine(scope, receive, send)
        self.began.set()
        self.go.wait(30)  # blocks
        return None


class Recorded:
    """An application that notes each step of its life in `steps`."""

    def __init__(self, name: str, steps: list[str]) -> None:
        self.name, self.steps = name, steps

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            for step in ("startup", "shutdown"):
                await receive()
                self.steps.append(f"{self.name} {step}")
                await send({"type": f"lifespan.{step}.complete"})


def service(name: str, app: Any, *needs: str) -> Service:
    return Service(name, http=Http((0,), app=app), depends_on=needs)


@pytest.fixture
def made(tmp_path: Path) -> Iterator[Start]:
    """`made(service, ..., option=value)` is a Supervisor that is stopped after the test."""
    all_made: list[Supervisor] = []

    def make(*services: Service, **options: Any) -> Supervisor:
        topology = Topology("test", *services, folder=tmp_path)
        all_made.append(Supervisor(topology, options=replace(Options(grace=1), **options)))
        return all_made[-1]

    yield make
    for supervisor in all_made:
        supervisor.stop()


def changes(supervisor: Supervisor) -> list[str]:
    return [f"{each.service} {each.state}" for each in supervisor.journal.entries() if isinstance(each, Change)]


def arrival(supervisor: Supervisor, wanted: Callable[[Entry], bool]) -> threading.Event:
    """Set as soon as the journal holds such an entry."""
    arrived = threading.Event()
    supervisor.journal.subscribe(lambda entry: arrived.set() if wanted(entry) else None)
    return arrived


def url(supervisor: Supervisor, name: str) -> str:
    return f"http://{supervisor.snapshot[name].http[0]}"


def test_an_application_that_takes_the_lifespan_for_a_request_starts_without_a_word(
    caplog: pytest.LogCaptureFixture,
) -> None:
    asyncio.run(Lifespan(answering).startup())
    gc.collect()
    assert caplog.records == []


def test_a_service_starts_after_what_it_depends_on_and_stops_before_it(made: Start) -> None:
    steps: list[str] = []
    supervisor = made(
        service("gateway", Recorded("gateway", steps), "user", "order"),
        service("order", Recorded("order", steps), "user"),
        service("user", Recorded("user", steps)),
    )
    supervisor.start()
    supervisor.stop()
    assert steps == [
        *("user startup", "order startup", "gateway startup"),
        *("gateway shutdown", "order shutdown", "user shutdown"),
    ]
    news = changes(supervisor)
    assert news.index("user ready") < news.index("order starting")
    assert news.index("order stopped") < news.index("user stopping")
    assert news[-1] == "mesh stopped"


def test_a_start_that_blocks_is_named_with_its_stack_and_held_against_nobody_else(made: Start) -> None:
    blocking = Blocking()
    supervisor = made(
        service("slow", blocking), service("quick", fine), service("next", fine, "slow"), start_within=0.2
    )
    ready = arrival(
        supervisor, lambda entry: isinstance(entry, Change) and (entry.service, entry.state) == ("slow", "ready")
    )
    supervisor.start()
    assert blocking.began.is_set()
    states = {each.name: (each.state, each.reason) for each in supervisor.snapshot.services}
    assert states["slow"] == ("failed", "has not started within 0.2 s")
    assert (states["quick"][0], states["next"][0]) == ("ready", "ready")
    assert requests.get(url(supervisor, "quick"), timeout=10).text == "fine"
    (stack,) = [each.text for each in supervisor.journal.entries() if isinstance(each, Line) and each.service == "slow"]
    assert "# blocks" in stack
    assert "mesh/runtime" not in stack
    blocking.go.set()
    assert ready.wait(10)  # late, and welcome
    assert supervisor.snapshot["slow"].reason is None


def test_a_dependency_that_failed_does_not_keep_back_who_needs_it(made: Start) -> None:
    supervisor = made(service("user", "nowhere:app"), service("order", fine, "user"))
    supervisor.start()
    assert [each.state for each in supervisor.snapshot.services] == ["failed", "ready"]
    (failure,) = supervisor.failures()
    assert failure.startswith("user failed to start: user: no module is named 'nowhere'")


def test_a_stop_during_the_start_ends_what_is_starting(made: Start) -> None:
    blocking = Blocking()
    supervisor = made(service("slow", blocking), service("next", fine, "slow"), grace=5)
    supervisor.bind()
    statuses: list[int] = []
    running = threading.Thread(target=lambda: statuses.append(supervisor.run()))
    running.start()
    assert blocking.began.wait(10)
    supervisor.post(Stop("test", 143))
    blocking.go.set()
    running.join(10)
    assert not running.is_alive()
    assert statuses == [143]
    assert not supervisor.has_unfinished_work
    assert "next starting" not in changes(supervisor)


def test_a_stop_that_comes_before_a_units_loop_is_not_lost(made: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    began, go = threading.Event(), threading.Event()

    def slow_loop(isolation: Isolation) -> asyncio.AbstractEventLoop:
        began.set()
        go.wait(10)
        return asyncio.new_event_loop()

    monkeypatch.setattr(Isolation, "new_event_loop", slow_loop)
    supervisor = made(service("one", fine), grace=5)
    supervisor.bind()
    stopping = arrival(
        supervisor, lambda each: isinstance(each, Change) and (each.service, each.state) == ("one", "stopping")
    )
    running = threading.Thread(target=supervisor.run)
    running.start()
    assert began.wait(10)
    supervisor.post(Stop("test", 0))
    assert stopping.wait(10)
    go.set()
    running.join(4.5)  # in less than the grace
    assert not running.is_alive()
    assert changes(supervisor)[-2:] == ["one stopped", "mesh stopped"]
    assert not supervisor.has_unfinished_work


@pytest.mark.parametrize(("app", "status"), [(fine, 7), ("nowhere:app", 1)])
def test_the_exit_status_is_what_was_asked_for_unless_a_service_failed(made: Start, app: Any, status: int) -> None:
    supervisor = made(service("one", app))
    supervisor.bind()
    settled = arrival(supervisor, lambda entry: isinstance(entry, Change) and entry.state == "running")

    def stop_once_it_runs() -> None:
        settled.wait(10)
        supervisor.post(Stop("test", 7))

    threading.Thread(target=stop_once_it_runs).start()
    assert supervisor.run() == status


def test_nothing_is_left_of_a_supervisor_that_was_stopped(made: Start) -> None:
    threads = set(threading.enumerate())
    supervisor = made(service("one", fine), service("two", fine))
    supervisor.start()
    urls = [url(supervisor, name) for name in ("one", "two")]
    assert [requests.get(each, timeout=10).text for each in urls] == ["fine", "fine"]
    supervisor.stop()
    for each in urls:
        with pytest.raises(requests.ConnectionError):
            requests.get(each, timeout=10)
    left = [each for each in threading.enumerate() if each not in threads and each.is_alive()]
    for thread in left:
        thread.join(5)
    assert [each.name for each in left if each.is_alive()] == []
