"""The same calls on a servicer in this process and over a channel to a real server."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import grpc.aio
import pytest
from google.rpc import error_details_pb2, status_pb2
from library_pb2 import Book, GetBookRequest, WatchRequest
from library_pb2_grpc import LibraryServicer, add_LibraryServicer_to_server

from mesh.contract import ChannelBackend, ServicerBackend, Transcoder, collect_handlers, rest_app
from mesh.contract.backends.backend import Backend
from mesh.errors import Code, StatusError, UsageError
from tests.contract import library
from tests.contract.asking import ask, ask_async

CONTRACT = library.contract()
here = contextvars.ContextVar("here", default="nowhere")


class Detailed(LibraryServicer):
    def GetBook(self, request: Any, context: Any) -> None:
        status = status_pb2.Status(code=9, message="not now")
        status.details.add().Pack(error_details_pb2.ErrorInfo(reason="CLOSED"))
        context.set_trailing_metadata((("grpc-status-details-bin", status.SerializeToString()),))
        context.abort(grpc.StatusCode.FAILED_PRECONDITION, "not now")

    WatchBooks = library.Plain.WatchBooks
    ImportBooks = library.Plain.ImportBooks
    CountBooks = library.Plain.CountBooks


@contextlib.asynccontextmanager
async def over_a_channel(servicer: Any) -> AsyncIterator[Any]:
    server = grpc.aio.server()
    add_LibraryServicer_to_server(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield ChannelBackend(lambda: channel)
    await server.stop(None)


@contextlib.asynccontextmanager
async def in_process(servicer: Any) -> AsyncIterator[Any]:
    yield ServicerBackend(collect_handlers([servicer]).by_path)


WAYS = pytest.mark.parametrize("way", [in_process, over_a_channel])


def with_backend(way: Any, servicer: Any, use: Any) -> Any:
    async def run() -> Any:
        async with way(servicer) as backend:
            return await use(backend)

    return asyncio.run(run())


async def collect(answers: Any) -> Any:
    return [answer async for answer in answers]


async def each(*messages: Any) -> AsyncIterator[Any]:
    for message in messages:
        yield message


@WAYS
def test_a_unary_call_is_answered(way: Any) -> None:
    async def use(backend: Backend) -> Any:
        return await backend.unary(CONTRACT["GetBook"], GetBookRequest(id=3), (), 5.0)

    assert with_backend(way, library.Plain(), use).message == Book(id=3, title="Emma")


@WAYS
def test_an_error_keeps_its_code_its_words_and_its_details(way: Any) -> None:
    async def use(backend: Backend) -> Any:
        with pytest.raises(StatusError) as refused:
            await backend.unary(CONTRACT["GetBook"], GetBookRequest(id=3), (), None)
        return refused.value

    error = with_backend(way, Detailed(), use)
    assert (error.code, error.message) == (Code.FAILED_PRECONDITION, "not now")
    assert error.details == (error_details_pb2.ErrorInfo(reason="CLOSED"),)


@WAYS
def test_streams_go_both_ways(way: Any) -> None:
    async def use(backend: Backend) -> tuple[Any, ...]:
        watched = await collect(backend.stream(CONTRACT["WatchBooks"], each(WatchRequest(count=2)), (), None))
        imported = await collect(backend.stream(CONTRACT["ImportBooks"], each(Book(title="ab"), Book()), (), None))
        counted = await collect(backend.stream(CONTRACT["CountBooks"], each(Book(), Book()), (), None))
        return [book.id for book in (*watched, *imported)], counted[0].count

    assert with_backend(way, Detailed(), use) == ([1, 2, 2, 0], 2)


@WAYS
def test_a_wrong_request_within_a_stream_is_the_streams_error(way: Any) -> None:
    async def wrong() -> AsyncIterator[Any]:
        yield Book()
        raise StatusError(Code.INVALID_ARGUMENT, "line 2 is wrong")

    async def use(backend: Backend) -> None:
        with pytest.raises(StatusError, match="line 2 is wrong"):
            await collect(backend.stream(CONTRACT["CountBooks"], wrong(), (), None))

    with_backend(way, library.Coroutines(), use)


@WAYS
def test_a_call_past_its_deadline_is_deadline_exceeded(way: Any) -> None:
    class Stuck(LibraryServicer):
        async def GetBook(self, request: Any, context: Any) -> None:
            await asyncio.Event().wait()

    async def use(backend: Backend) -> Any:
        with pytest.raises(StatusError) as refused:
            await backend.unary(CONTRACT["GetBook"], GetBookRequest(), (), 0.05)
        return refused.value.code

    assert with_backend(way, Stuck(), use) is Code.DEADLINE_EXCEEDED


def test_the_transcoder_answers_the_same_over_a_channel() -> None:
    async def use(backend: Backend) -> tuple[Any, ...]:
        app = Transcoder(CONTRACT, backend)
        missing = await ask_async(app, "GET", "/v1/books/99")
        watched = await ask_async(app, "GET", "/v1/books:watch?count=1")
        imported = await ask_async(app, "POST", "/v1/books:import", b'{"title":"a"}\n{"titel":1}')
        return missing.status, missing.json["message"], watched.body, b"titel is not a known field" in imported.body

    assert with_backend(over_a_channel, library.Coroutines(), use) == (
        404,
        "book 99 does not exist",
        b'{"result":{"id":1,"title":"","isbn":""}}\n',
        True,
    )


def test_a_closed_port_is_unavailable() -> None:
    async def use() -> Any:
        async with grpc.aio.insecure_channel("127.0.0.1:1") as channel:
            return await ask_async(Transcoder(CONTRACT, ChannelBackend(lambda: channel)), "GET", "/v1/books/1")

    answered = asyncio.run(use())
    assert (answered.status, answered.headers["retry-after"]) == (503, "1")


def test_the_servicer_sees_the_context_of_the_caller() -> None:
    class Seeing(LibraryServicer):
        def GetBook(self, request: Any, context: Any) -> Book:
            return Book(title=f"{here.get()} {context.peer()} {context.time_remaining()} {context.is_active()}")

        def WatchBooks(self, request: Any, context: Any) -> Iterator[Any]:
            yield Book(title=here.get())

    async def use(backend: Backend) -> tuple[Any, ...]:
        here.set("inside")
        reply = await backend.unary(CONTRACT["GetBook"], GetBookRequest(), (), None)
        watched = await collect(backend.stream(CONTRACT["WatchBooks"], each(WatchRequest()), (), None))
        book: Any = reply.message
        return book.title, watched[0].title

    assert with_backend(in_process, Seeing(), use) == ("inside inproc None True", "inside")


def test_plain_functions_run_in_the_executor_given() -> None:
    import threading

    class Named(LibraryServicer):
        def GetBook(self, request: Any, context: Any) -> Book:
            return Book(title=threading.current_thread().name)

    with ThreadPoolExecutor(1, thread_name_prefix="worker") as executor:
        handlers = collect_handlers([Named])
        app = Transcoder(handlers.contract(), ServicerBackend(handlers.by_path, executor))
        assert ask(app, "GET", "/v1/books/1").json["title"] == "worker_0"


@pytest.mark.parametrize("code", [SystemExit(3), KeyboardInterrupt()])
def test_what_would_end_the_loop_comes_out_as_an_exception(code: Any) -> None:
    class Leaving(LibraryServicer):
        def GetBook(self, request: Any, context: Any) -> None:
            raise code

        async def WatchBooks(self, request: Any, context: Any) -> AsyncIterator[Any]:
            if request is not None:
                raise code
            yield

    for target in ("/v1/books/1", "/v1/books:watch"):
        with pytest.raises(Exception, match=f"the servicer raised {type(code).__name__}"):
            ask(library.app(Leaving), "GET", target)


def test_a_code_set_without_an_exception_is_the_answer() -> None:
    class Setting(LibraryServicer):
        def GetBook(self, request: Any, context: Any) -> Book:
            context.set_code(grpc.StatusCode.ALREADY_EXISTS)
            context.set_details("twice")
            return Book()

    answered = ask(library.app(Setting), "GET", "/v1/books/1")
    assert (answered.status, answered.json["message"]) == (409, "twice")


def test_an_abort_that_was_caught_counts_all_the_same() -> None:
    class Catching(LibraryServicer):
        def GetBook(self, request: Any, context: Any) -> Book:
            with contextlib.suppress(Exception):
                context.abort(grpc.StatusCode.ABORTED, "no")
            return Book()

    assert ask(library.app(Catching), "GET", "/v1/books/1").json["message"] == "no"


def test_servicers_may_be_classes_objects_or_functions_and_generated_long_ago() -> None:
    def add(server: Any) -> None:
        add_LibraryServicer_to_server(library.Plain(), server)

    def add_as_of_old(server: Any) -> None:
        handlers = collect_handlers([library.Plain]).by_path
        named = {path.rsplit("/", 1)[1]: handler for path, handler in handlers.items()}
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("library.v1.Library", named),))

    for servicer in (library.Plain, library.Plain(), add, add_as_of_old):
        handlers = collect_handlers([servicer])
        assert handlers.services == ("library.v1.Library",)
        assert handlers.contract()["GetBook"].path == "/library.v1.Library/GetBook"
    with pytest.raises(UsageError, match="Event is not a servicer"):
        collect_handlers([asyncio.Event()])


def test_a_contract_knows_its_methods_by_name_and_which_may_be_asked_twice() -> None:
    method = CONTRACT["library.v1.Library.GetBook"]
    assert (method.name, method.service, [str(b) for b in method.bindings]) == (
        "GetBook",
        "library.v1.Library",
        ["GET /v1/books/{id}", "GET /v1/isbn/{isbn}"],
    )
    assert {name: CONTRACT[name].idempotent for name in ("GetBook", "Echo", "CreateBook", "Unmapped")} == {
        "GetBook": True,
        "Echo": True,
        "CreateBook": False,
        "Unmapped": False,
    }
    assert "Nothing" not in CONTRACT


def test_rest_app_hides_what_a_servicer_raised(caplog: pytest.LogCaptureFixture) -> None:
    class Broken(LibraryServicer):
        def GetBook(self, request: Any, context: Any) -> None:
            raise ZeroDivisionError("secret")

    answered = ask(rest_app(Broken), "GET", "/v1/books/1")
    assert (answered.status, answered.json) == (500, {"code": 13, "message": "internal error", "details": []})
    assert "ZeroDivisionError: secret" in caplog.text


def test_rest_app_wants_servicers_or_a_channel() -> None:
    with pytest.raises(UsageError, match="takes either servicers or a channel"):
        rest_app()
    with pytest.raises(UsageError, match=r"no service no\.Such is known"):
        rest_app(channel=lambda: grpc.aio.insecure_channel("localhost:1"), services=["no.Such"])
    channel_app = rest_app(channel=lambda: grpc.aio.insecure_channel("127.0.0.1:1"), services=["library.v1.Library"])
    assert ask(channel_app, "GET", "/v1/books/1").status == 503
