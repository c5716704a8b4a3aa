from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from library_pb2 import Book
from library_pb2_grpc import LibraryServicer

from mesh.contract import ServicerBackend, Transcoder, collect_handlers
from tests.contract import library
from tests.contract.asking import Talk, ask

KINDS = [library.Plain, library.Coroutines, library.Writing]
BROKEN = b'{"error":{"code":15,"message":"the shelf broke","details":[]}}\n'


def line(number: int, title: str = "") -> bytes:
    return b'{"result":{"id":%d,"title":"%s","isbn":""}}\n' % (number, title.encode())


@pytest.mark.parametrize("servicer", KINDS)
def test_answers_come_a_line_each(servicer: Any) -> None:
    answered = ask(library.app(servicer), "GET", "/v1/books:watch?count=2")
    assert (answered.status, answered.headers["content-type"]) == (200, "application/x-ndjson")
    assert answered.body == line(1) + line(2)


@pytest.mark.parametrize("servicer", KINDS)
def test_an_error_in_mid_stream_is_the_last_line(servicer: Any) -> None:
    answered = ask(library.app(servicer), "GET", "/v1/books:watch?count=3&fail_after=1")
    assert (answered.status, answered.body, answered.broken) == (200, line(1) + BROKEN, True)


@pytest.mark.parametrize("servicer", KINDS)
def test_an_error_before_the_first_answer_is_an_ordinary_error(servicer: Any) -> None:
    answered = ask(library.app(servicer), "GET", "/v1/books:watch?count=3&fail_after=-1")
    assert (answered.status, answered.json["message"]) == (500, "the shelf broke")
    assert ask(library.app(servicer), "GET", "/v1/books:watch?count=x").status == 400


def test_a_client_that_accepts_events_gets_events() -> None:
    answered = ask(
        library.app(), "GET", "/v1/books:watch?count=2&fail_after=1", headers={"accept": "text/event-stream, */*;q=0.1"}
    )
    assert answered.headers["content-type"] == "text/event-stream"
    assert answered.body.decode() == (
        'data: {"id":1,"title":"","isbn":""}\n\n'
        'event: error\ndata: {"code":15,"message":"the shelf broke","details":[]}\n\n'
    )


def test_http_bodies_are_streamed_raw() -> None:
    answered = ask(library.app(), "GET", "/v1/parts/x")
    assert (answered.headers["content-type"], answered.body) == ("image/png", b"onetwo")


def test_head_of_a_stream_asks_nobody() -> None:
    answered = ask(library.app(LibraryServicer), "HEAD", "/v1/books:watch")
    assert (answered.status, answered.headers["content-type"], answered.body) == (200, "application/x-ndjson", b"")


@pytest.mark.parametrize("servicer", KINDS)
@pytest.mark.parametrize("body", [b'{"title":"abc"}\n\n{"title":"de"}', b'{"title":"abc"}\r\n {"title":"de"}\n\n'])
def test_requests_go_in_a_line_each(servicer: Any, body: bytes) -> None:
    assert ask(library.app(servicer), "POST", "/v1/books:import", body).body == line(3, "abc") + line(2, "de")


@pytest.mark.parametrize("servicer", [library.Plain, library.Coroutines])
def test_a_stream_of_requests_may_have_one_answer(servicer: Any) -> None:
    answered = ask(library.app(servicer), "POST", "/v1/books:count", b"{}\n{}\n{}")
    assert (answered.status, answered.headers["content-type"], answered.json) == (200, "application/json", {"count": 3})
    assert ask(library.app(servicer), "POST", "/v1/books:count").json == {"count": 0}


@pytest.mark.parametrize("servicer", KINDS)
def test_a_wrong_line_ends_the_stream_with_its_error(servicer: Any) -> None:
    app = library.app(servicer)
    answered = ask(app, "POST", "/v1/books:import", b'{"title":"abc"}\n{"titel":1}\n{}')
    assert answered.body.startswith(line(3, "abc"))
    assert json.loads(answered.body.splitlines()[1]) == {
        "error": {"code": 3, "message": "titel is not a known field; did you mean 'title'?", "details": []}
    }
    assert ask(app, "POST", "/v1/books:import", b"nonsense").status == 400


def test_the_path_and_the_query_speak_for_the_first_message() -> None:
    answered = ask(library.app(), "POST", "/v1/shelf-7/books:move?note=n", b'"a"\n"b"')
    assert [json.loads(each)["result"] for each in answered.body.splitlines()] == [
        {"shelf": "shelf-7", "title": "a", "note": "n"},
        {"shelf": "", "title": "b", "note": ""},
    ]


def test_a_line_over_the_limit_is_413() -> None:
    app = library.app(max_body=10)
    assert ask(app, "POST", "/v1/books:count", b'{"title":"0123456789"}').status == 413
    assert ask(app, "POST", "/v1/books:count", b"{}\n" * 20).json == {"count": 20}
    assert ask(app, "POST", "/v1/books:count", b"", {"content-encoding": "gzip"}).status == 415


@pytest.mark.parametrize("servicer", KINDS)
def test_requests_and_answers_take_turns(servicer: Any) -> None:
    async def converse() -> None:
        talk = Talk(library.app(servicer), "POST", "/v1/books:import")
        talk.say(b'{"title":"a"}\n{"tit', more=True)
        assert (await talk.hear())["status"] == 200
        assert await talk.hear_body() == line(1, "a")
        talk.say(b'le":"bc"}\n', more=True)
        assert await talk.hear_body() == line(2, "bc")
        talk.say()
        assert await talk.hear() == {"type": "http.response.body", "body": b"", "more_body": False}
        await talk.task

    asyncio.run(converse())


def test_a_quiet_stream_shows_its_headers() -> None:
    async def converse() -> None:
        talk = Talk(library.app(library.Coroutines), "GET", "/v1/books:watch")
        assert (await talk.hear())["status"] == 200
        talk.leave()
        await talk.task

    asyncio.run(converse())


def test_a_slow_reader_slows_the_source() -> None:
    made = []

    class Counting(LibraryServicer):
        async def WatchBooks(self, request: Any, context: Any) -> AsyncIterator[Any]:
            while True:
                made.append(1)
                yield Book()

    async def converse() -> None:
        talk = Talk(library.app(Counting), "GET", "/v1/books:watch", room=3)
        while not talk.heard.full():
            await asyncio.sleep(0)
        for _ in range(50):
            await asyncio.sleep(0)
        assert len(made) <= 4
        talk.leave()
        await talk.task

    asyncio.run(converse())


def test_a_client_that_leaves_cancels_a_coroutine() -> None:
    async def converse() -> None:
        ended = asyncio.Event()

        class Watching(LibraryServicer):
            async def WatchBooks(self, request: Any, context: Any) -> AsyncIterator[Any]:
                try:
                    yield Book(id=1)
                    await asyncio.Event().wait()
                finally:
                    ended.set()

        talk = Talk(library.app(Watching), "GET", "/v1/books:watch")
        talk.say()
        await talk.hear()
        assert await talk.hear_body() == line(1)
        talk.leave()
        await asyncio.wait_for(ended.wait(), 5)
        await talk.task

    asyncio.run(converse())


def test_a_client_that_leaves_ends_a_plain_servicer() -> None:
    left, ended = threading.Event(), threading.Event()

    class Watching(LibraryServicer):
        def WatchBooks(self, request: Any, context: Any) -> Iterator[Any]:
            assert context.add_callback(left.set)
            try:
                yield Book(id=1)
                assert left.wait(30)
                assert not context.is_active()
            finally:
                ended.set()

    async def converse(app: Any) -> None:
        talk = Talk(app, "GET", "/v1/books:watch")
        await talk.hear()
        await talk.hear_body()
        talk.leave()
        await talk.task

    with ThreadPoolExecutor(1) as executor:
        handlers = collect_handlers([Watching])
        asyncio.run(converse(Transcoder(handlers.contract(), ServicerBackend(handlers.by_path, executor))))
        assert ended.wait(30)


def test_a_client_that_leaves_wakes_a_plain_servicer_that_waits_for_requests() -> None:
    ended = threading.Event()

    class Waiting(LibraryServicer):
        def ImportBooks(self, requests: Any, context: Any) -> Iterator[Any]:
            try:
                yield Book(id=1)
                next(requests)
            finally:
                ended.set()

    async def converse(app: Any) -> None:
        talk = Talk(app, "POST", "/v1/books:import")
        await talk.hear()
        await talk.hear_body()
        talk.leave()
        await talk.task

    with ThreadPoolExecutor(1) as executor:
        handlers = collect_handlers([Waiting])
        asyncio.run(converse(Transcoder(handlers.contract(), ServicerBackend(handlers.by_path, executor))))
        assert ended.wait(30)


def test_a_stream_past_its_deadline_says_so() -> None:
    answered = ask(library.app(library.Coroutines), "GET", "/v1/books:watch", headers={"grpc-timeout": "20m"})
    assert (answered.status, answered.json["message"]) == (504, "the deadline has passed")


def test_what_a_servicer_raises_in_mid_stream_is_told_as_internal_and_passed_on() -> None:
    class Broken(LibraryServicer):
        def WatchBooks(self, request: Any, context: Any) -> Iterator[Any]:
            yield Book(id=1)
            raise ZeroDivisionError("secret")

    async def converse() -> None:
        talk = Talk(library.app(Broken), "GET", "/v1/books:watch")
        await talk.hear()
        assert await talk.hear_body() == line(1)
        assert await talk.hear_body() == b'{"error":{"code":13,"message":"internal error","details":[]}}\n'
        with pytest.raises(ZeroDivisionError):
            await talk.task

    asyncio.run(converse())
