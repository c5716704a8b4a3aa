"""More calls than threads wait for a bounded time, in a bounded number; the standard services are answered."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from mesh import Grpc, Http, Service
from mesh.pytest_plugin import Mesh
from mesh.serving.grpc.call_queue import CallQueue
from mesh.store.pb import user_pb2
from tests.serving.grpc.http2_peer import pings
from tests.serving.misbehaving import GET, Misbehaving, failure, wait_until
from tests.support.raw_calls import answers, unary

WAITS, WELL = b"\x08\x1b", b"\x08\x64"


class Mixed(Misbehaving):
    """One coroutine function makes the server an async one, whose plain methods need threads all the same."""

    async def CreateUser(self, request: Any, context: Any) -> Any:
        return super().CreateUser(request, context)

    def WatchUsers(self, request: Any, context: Any) -> Iterator[Any]:
        for number in range(3000):
            yield user_pb2.User(id=number)


@pytest.fixture(params=[Misbehaving, Mixed])
def servicer(request: pytest.FixtureRequest) -> Any:
    made = request.param()
    yield made
    made.released.set()


def two_workers(start: Callable[..., Mesh], servicer: Any, queue: int, seconds: float) -> Mesh:
    settings = Grpc(0, (servicer,), services=("user.UserService",), workers=2, queue=queue, queue_seconds=seconds)
    return start(
        Service("user-service", grpc=settings),
        Service("gateway", http=Http(ports=(0,), contracts=("user-service",), prefix="/api/grpc")),
    )


def occupied(mesh: Mesh, servicer: Misbehaving) -> list[Any]:
    """Calls that keep both threads busy."""
    calls = [unary(mesh.channel("user-service"), GET).future(WAITS, timeout=60) for _ in range(2)]
    assert all(servicer.hanging.acquire(timeout=30) for _ in calls)
    return calls


def test_calls_wait_for_a_thread_that_comes_free_in_time(start: Callable[..., Mesh], servicer: Misbehaving) -> None:
    mesh = two_workers(start, servicer, 10, 60)
    busy = occupied(mesh, servicer)
    waiting = [unary(mesh.channel("user-service"), GET).future(WELL, timeout=60) for _ in range(10)]
    servicer.released.set()
    assert [call.result(60) for call in waiting] == [b"\x08d\x12\x04well"] * 10
    assert [call.result(60) for call in busy] == [WAITS] * 2


@pytest.mark.parametrize(("queue", "seconds", "why"), [(10, 0.05, "for 0.05 s"), (0, 60, "and 0 calls wait for one")])
def test_a_call_that_finds_no_thread_or_no_place_is_refused(
    start: Callable[..., Mesh], servicer: Misbehaving, queue: int, seconds: float, why: str
) -> None:
    mesh = two_workers(start, servicer, queue, seconds)
    busy = occupied(mesh, servicer)
    ask = unary(mesh.channel("user-service"), GET)
    text = f"all 2 threads are busy, {why}"
    assert failure(lambda: ask(WELL, timeout=60)) == ("RESOURCE_EXHAUSTED", text)
    answer = mesh.http("gateway").get("/api/grpc/users/100")
    assert (answer.status_code, answer.json()["message"], answer.headers["retry-after"]) == (429, text, "1")
    servicer.released.set()
    assert [call.result(60) for call in busy] == [WAITS] * 2
    wait_until(lambda: not mesh.supervisor.journal.in_flight)
    assert ask(WELL, timeout=60) == b"\x08d\x12\x04well"


def test_a_stream_that_has_begun_is_not_refused_midway(start: Callable[..., Mesh]) -> None:
    mesh = two_workers(start, Mixed(), 0, 60)
    channel = mesh.channel("user-service")
    stream = answers(channel, "/user.UserService/WatchUsers")(b"", timeout=60)
    first = next(stream)
    others = [unary(channel, GET).future(WELL, timeout=60) for _ in range(300)]
    assert len([first, *stream]) == 3000
    assert {call.code().name for call in others} <= {"OK", "RESOURCE_EXHAUSTED"}


def test_a_step_of_a_call_that_has_begun_takes_the_next_free_thread() -> None:
    queue, gate = CallQueue(Grpc(0, workers=1, queue=1), ThreadPoolExecutor(1)), threading.Event()
    done: list[str] = []
    busy = queue.submit(gate.wait, 60)
    others = [queue.submit(done.append, "new call"), queue.begun.submit(done.append, "further step")]
    gate.set()
    assert [each.result(30) for each in (busy, *others)] == [True, None, None]
    assert done == ["further step", "new call"]
    queue.shutdown()


def test_calls_that_are_cancelled_give_their_threads_and_places_back(start: Callable[..., Mesh]) -> None:
    servicer = Mixed()
    mesh = two_workers(start, servicer, 2, 60)
    ask = unary(mesh.channel("user-service"), GET)
    busy = occupied(mesh, servicer)
    waiting = [ask.future(WELL, timeout=60) for _ in range(2)]
    for call in (*busy, *waiting):
        call.cancel()
    wait_until(lambda: not mesh.supervisor.journal.in_flight, 30)
    servicer.released.set()
    more = [ask.future(WELL, timeout=60) for _ in range(2)]
    assert [call.result(60) for call in more] == [b"\x08d\x12\x04well"] * 2


def test_health_and_reflection_are_answered_while_every_thread_is_busy(
    start: Callable[..., Mesh], servicer: Misbehaving
) -> None:
    mesh = two_workers(start, servicer, 10, 60)
    occupied(mesh, servicer)
    channel = mesh.channel("user-service")
    health: Any = health_pb2_grpc.HealthStub(channel)
    assert health.Check(health_pb2.HealthCheckRequest(), timeout=30).status == 1
    assert next(health.Watch(health_pb2.HealthCheckRequest(), timeout=30)).status == 1
    asked = reflection_pb2.ServerReflectionRequest(list_services="")
    reflection: Any = reflection_pb2_grpc.ServerReflectionStub
    (answer,) = reflection(channel).ServerReflectionInfo(iter([asked]), timeout=30)
    assert "user.UserService" in [each.name for each in answer.list_services_response.service]


def test_five_hundred_calls_at_once_are_all_answered(start: Callable[..., Mesh]) -> None:
    mesh = start(Service("user-service", grpc=Grpc(0, (Misbehaving,), services=("user.UserService",))))
    ask = unary(mesh.channel("user-service"), GET)
    calls = [ask.future(WELL, timeout=60) for _ in range(500)]
    assert {call.result(60) for call in calls} == {b"\x08d\x12\x04well"}


def test_options_of_the_server_are_grpcs_own(start: Callable[..., Mesh]) -> None:
    options = {"grpc.max_receive_message_length": 100}
    mesh = start(Service("user-service", grpc=Grpc(0, (Misbehaving,), services=("user.UserService",), options=options)))
    code, details = failure(lambda: mesh.stub("user-service").CreateUser(name="NOT_FOUND", email="x" * 100))
    assert (code, "larger than max" in details) == ("RESOURCE_EXHAUSTED", True)
    assert failure(lambda: mesh.stub("user-service").CreateUser(name="NOT_FOUND", email="y")) == ("NOT_FOUND", "y")


@pytest.mark.parametrize("servicer", [Misbehaving, Mixed])
def test_a_server_pings_its_clients_as_often_as_its_keepalive_says(start: Callable[..., Mesh], servicer: type) -> None:
    options = {"grpc.keepalive_time_ms": 100, "grpc.keepalive_permit_without_calls": 1}
    mesh = start(Service("user-service", grpc=Grpc(0, (servicer,), services=("user.UserService",), options=options)))
    assert pings(mesh.address("user-service.grpc"), 2) == 2  # without the option, the first comes after two hours
