"""A stream of requests whose client leaves is not taken for one that has ended."""

from __future__ import annotations

import queue
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import closing
from typing import Any

import grpc
import pytest

from mesh import Grpc, Service, Supervisor, Topology
from mesh.store.pb.user_pb2 import CreateUserRequest, User
from mesh.store.pb.user_pb2_grpc import UserServiceServicer, UserServiceStub

ROUNDS = 10
begun = threading.Semaphore(0)
ended: queue.SimpleQueue[str] = queue.SimpleQueue()


class Plain(UserServiceServicer):
    def ImportUsers(self, requests: Iterator[CreateUserRequest], context: Any) -> Iterator[User]:
        outcome = "left"
        try:
            for _ in requests:
                begun.release()
            outcome = "whole"
            yield User(id=1)
        finally:
            ended.put(outcome)


class Coroutines(UserServiceServicer):
    async def ImportUsers(self, requests: AsyncIterator[CreateUserRequest], context: Any) -> AsyncIterator[User]:
        outcome = "left"
        try:
            async for _ in requests:
                begun.release()
            outcome = "whole"
            yield User(id=1)
        finally:
            ended.put(outcome)


class Reading(UserServiceServicer):
    async def ImportUsers(self, requests: Any, context: Any) -> None:
        outcome = "left"
        try:
            while await context.read() is not grpc.aio.EOF:
                begun.release()
            outcome = "whole"
            await context.write(User(id=1))
        finally:
            ended.put(outcome)


@pytest.fixture(params=[Plain, Coroutines, Reading])
def address(request: pytest.FixtureRequest) -> Iterator[str]:
    supervisor = Supervisor(Topology("test", Service("users", grpc=Grpc(0, servicers=(request.param,)))))
    supervisor.start()
    yield str(supervisor.directory.address("users", "grpc"))
    supervisor.stop()


def test_a_stream_of_requests_that_is_broken_off_does_not_end_well(address: str) -> None:
    for _ in range(ROUNDS):
        over = threading.Event()

        def requests(over: threading.Event = over) -> Iterator[CreateUserRequest]:
            yield CreateUserRequest(name="Lin")
            over.wait(60)

        with closing(grpc.insecure_channel(address, [("grpc.use_local_subchannel_pool", 1)])) as channel:
            call = UserServiceStub(channel).ImportUsers(requests())
            assert begun.acquire(timeout=60)
            call.cancel()
            assert ended.get(timeout=60) == "left"
            over.set()


def test_a_stream_of_requests_that_ends_is_whole(address: str) -> None:
    with closing(grpc.insecure_channel(address)) as channel:
        answers = UserServiceStub(channel).ImportUsers(iter([CreateUserRequest(name="Lin")]))
        assert [user.id for user in answers] == [1]
    assert ended.get(timeout=60) == "whole"
    assert begun.acquire(timeout=60)
