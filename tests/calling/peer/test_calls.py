"""Calls of every kind, with every form of request, over both transports."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from typing import Any, cast

import pytest
from calls_pb2 import Item
from calls_pb2_grpc import CallsStub

from mesh import Code, Peer, StatusError, SyncPeer, UsageError
from tests.calling.peer.calls import MISSING, Caller, Calls
from tests.calling.peers import refused

peer = Peer("calls")


async def three() -> AsyncIterator[Item]:
    for number in (1, 2, 3):
        yield Item(id=number)


async def ids(stream: Any) -> list[int]:
    return [item.id async for item in stream]


def test_streams_of_all_three_kinds_are_asynchronous_iterators(run: Any) -> None:
    assert run(lambda: ids(peer.Watch(id=3))) == [1, 2, 3]
    assert run(lambda: peer.Sum(three())).id == 6
    assert run(lambda: peer.Sum([{"id": 4}, Item(id=5)])).id == 9
    assert run(lambda: ids(peer.Chat(three()))) == [10, 20, 30]


def test_plain_code_waits_for_answers_and_iterates_streams(caller: Caller) -> None:
    def call() -> None:
        assert peer.sync.Get(id=5).id == 5
        assert [item.id for item in peer.sync.Watch(id=3)] == [1, 2, 3]
        assert peer.sync.Sum(Item(id=number) for number in (1, 2, 3)).id == 6
        assert [item.id for item in peer.sync.Chat(iter([Item(id=1)]))] == [10]
        assert SyncPeer("calls").Get(id=6).id == 6

    caller.plain(call)


def test_bidirectional_streams_answer_before_the_next_request_is_made(run: Any) -> None:
    async def talk() -> list[int]:
        said: asyncio.Queue[Item] = asyncio.Queue()

        async def requests() -> AsyncIterator[Item]:
            while (item := await said.get()).id:
                yield item

        heard = []
        said.put_nowait(Item(id=1))
        async for answer in peer.Chat(requests()):
            heard.append(answer.id)
            said.put_nowait(Item(id=answer.id if answer.id < 1000 else 0))
        return heard

    assert run(talk) == [10, 100, 1000]


def test_threads_and_loops_that_end_do_not_spoil_each_others_channels(caller: Caller) -> None:
    answers: list[int] = []

    def many() -> None:
        for number in range(5):
            answers.append(caller.run_elsewhere(lambda number=number: peer.Get(id=number)).id)  # type: ignore[misc]
            answers.append(caller.plain(lambda number=number: peer.sync.Get(id=number)).id)  # type: ignore[misc]

    threads = [threading.Thread(target=many) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(answers) == sorted([*range(5)] * 8)
    assert caller.run(lambda: peer.Get(id=7)).id == 7


def test_a_stream_that_is_left_is_cancelled(run: Any, servicer: Calls) -> None:
    servicer.left.clear()

    async def leave() -> None:
        async with peer.Watch(id=1_000_000) as stream:
            async for _ in stream:
                break

    run(leave)
    assert servicer.left.wait(60)


def test_a_server_stream_is_asked_for_over_http_where_grpc_is_refused(caller: Caller) -> None:
    with refused() as address:
        elsewhere = caller.finding(grpc=address)
        assert elsewhere.run(lambda: ids(peer.Watch(id=3))) == [1, 2, 3]
        assert elsewhere.plain(lambda: [item.id for item in peer.sync.Watch(id=2)]) == [1, 2]
    assert caller.finding(grpc=None).run(lambda: ids(peer.Watch(id=2))) == [1, 2]


@pytest.mark.parametrize("without", ["http", "grpc"])
def test_a_stream_that_breaks_off_raises_after_what_it_brought(caller: Caller, without: str) -> None:
    brought: list[int] = []

    async def broken() -> None:
        async for item in peer.Watch(id=2, name="broken"):
            brought.append(item.id)

    with pytest.raises(StatusError, match="the shelf broke") as caught:
        caller.finding(**{without: None}).run(broken)
    assert (caught.value.code, brought) == (Code.DATA_LOSS, [1, 2])


def test_a_stream_of_requests_is_not_asked_for_over_http(caller: Caller) -> None:
    with refused() as address, pytest.raises(StatusError) as caught:
        caller.finding(grpc=address).run(lambda: ids(peer.Chat(three())))
    assert caught.value.code is Code.UNAVAILABLE


def test_an_iterator_that_fails_is_what_the_call_raises(run: Any) -> None:
    async def failing() -> AsyncIterator[Item]:
        yield Item(id=1)
        raise KeyError("no more")

    with pytest.raises(KeyError, match="no more"):
        run(lambda: peer.Sum(failing()))


@pytest.mark.parametrize("without", ["http", "grpc"])
def test_error_details_come_back_over_both_transports(caller: Caller, without: str) -> None:
    with pytest.raises(StatusError) as caught:
        caller.finding(**{without: None}).run(lambda: peer.Get(id=MISSING))
    (detail,) = caught.value.details
    assert (caught.value.code, detail.reason, detail.domain) == (Code.NOT_FOUND, "GONE", "items")  # type: ignore[attr-defined]


def test_a_request_is_a_message_a_dict_or_fields(run: Any) -> None:
    for given in (Item(id=5, timeout=2), {"id": 5, "timeout": 2}):
        answer = run(lambda given=given: peer.Get(given, timeout=30))
        assert (answer.id, answer.timeout) == (5, 2)
    assert run(lambda: peer.Get(id=5, name="x")).name == "x"


@pytest.mark.parametrize(("call", "said"), [
    (lambda: peer.Get(Item(id=1), name="x"), "calls.Calls.Get takes a message or fields, not both: name"),
    (lambda: peer.Get(id=1, timeout=3), "calls.Calls.Get: timeout is an option of the call and a field of calls.Item; "
     "give the fields as a message or a dict, Get({'timeout': ...}), and the option beside it"),
    (lambda: peer.Get(nmae="x"), "calls.Calls.Get: no field is named 'nmae'; did you mean 'name'?"),
    (lambda: peer.Get(name="n", id="x"), "calls.Calls.Get: id = 'x': "),
    (lambda: peer.Get(7), "calls.Calls.Get takes calls.Item or a dict of its fields, not int"),
    (lambda: peer.Sum(), "calls.Calls.Sum takes a stream: an iterator of calls.Item, or of dicts of its fields"),
    (lambda: peer.Sum(Item()), "calls.Calls.Sum takes a stream: an iterator of calls.Item, not Item"),
    (lambda: peer.Watch.with_reply(id=1), "calls.Calls.Watch answers with a stream; read the metadata from the stream"),
    (lambda: peer.sync.Get(id=1), "calls: .sync.Get() would block the event loop that runs here; await Get()"),
    (lambda: Peer("cals").Get(id=1), "no service is named 'cals'; did you mean 'calls'? known services: caller, calls"),
    (lambda: Peer(cast(Any, dict)).Get(id=1), "Peer takes the name of a service or a generated stub class"),
    (lambda: Peer("calls", at="localhost:1"), "Peer('calls') names its service; service= and at= need"),
])  # fmt: skip
def test_a_mistake_is_named_before_anything_is_asked(caller: Caller, servicer: Calls, call: Any, said: str) -> None:
    async def mistaken() -> Any:
        return await call()

    with pytest.raises(UsageError) as caught:
        caller.run(mistaken)
    assert str(caught.value).startswith(said)
    assert servicer.asked == []


def test_a_mistyped_method_is_answered_with_the_nearest(caller: Caller) -> None:
    with pytest.raises(AttributeError, match=r"calls: no method is named 'Wathc'; did you mean 'Watch'\?"):
        caller.run_elsewhere(lambda: peer.Wathc())


def test_a_peer_of_a_generated_stub_finds_its_service_and_answers_with_its_classes(run: Any) -> None:
    answer = run(lambda: Peer(CallsStub).Get(Item(id=3)))
    assert (type(answer), answer.id) == (Item, 3)
