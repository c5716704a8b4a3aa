"""The methods of a program's gRPC server: within its interceptors, in its thread pool or its event loop."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import Executor
from typing import Any, NamedTuple

import grpc

from mesh.contract.servicers import Handler, behavior, is_async
from mesh.errors import UsageError
from mesh.serving.mains.crossing import items_of, run_in, run_on

_END = object()


class _Details(NamedTuple):
    """The details of a call that an interceptor is given, as grpc.HandlerCallDetails."""

    method: str
    invocation_metadata: Any


def sync_method(path: str, handler: Handler, interceptors: Sequence[Any], pool: Executor | None) -> Handler:
    """Return the method of a synchronous server; pool: its threads, None for those of the listener."""
    if not interceptors and pool is None:
        return handler

    def found_for(context: Any) -> Handler:
        follow: Callable[[Any], Any] = lambda details: handler  # noqa: E731  # the innermost of a chain
        for interceptor in reversed(interceptors):
            follow = _followed(interceptor, follow)
        found = follow(_Details(path, context.invocation_metadata()))
        if found is None:
            context.abort(grpc.StatusCode.UNIMPLEMENTED, "Method not found!")
        return found

    def begin(request: Any, context: Any) -> tuple[Handler, Any]:
        found = found_for(context)
        given = _as_taken(request, handler, found)
        answer = behavior(found)(given, context)
        return found, iter(answer) if found.response_streaming else answer

    def call(function: Callable[..., Any], *args: Any) -> Any:
        return function(*args) if pool is None else run_on(pool, function, *args)

    def single(request: Any, context: Any) -> Any:
        found, answer = call(begin, request, context)
        return call(next, answer) if found.response_streaming else answer

    def stream(request: Any, context: Any) -> Any:
        found, answer = call(begin, request, context)
        if not found.response_streaming:
            yield answer
            return
        while (item := call(next, answer, _END)) is not _END:
            yield item

    return with_behavior(handler, stream if handler.response_streaming else single)


def aio_method(path: str, handler: Handler, interceptors: Sequence[Any], loop: asyncio.AbstractEventLoop) -> Handler:
    """Return the method of an asynchronous server, whose coroutines run in `loop`."""
    if not is_async(handler):
        if interceptors:
            raise UsageError(
                f"{path} is a plain function behind interceptors of grpc.aio, which run does not support; make it a "
                "coroutine function, or start the program with command"
            )
        return handler

    async def answer(request: Any, context: Any, put: Callable[[Any], Any]) -> None:
        await _answer_with(await _found_by(interceptors, path, handler, context), handler, request, context, put)

    def crossed(request: Any, context: Any) -> tuple[Any, Any]:
        here = asyncio.get_running_loop()
        given = _IncomingRequests(request, here) if handler.request_streaming else request
        return given, _Context(context, here, loop)

    async def single(request: Any, context: Any) -> Any:
        given, own_context = crossed(request, context)
        answers: list[Any] = []

        async def put(item: Any) -> None:
            answers.append(item)

        await run_in(loop, answer, given, own_context, put)
        return answers[0]

    async def stream(request: Any, context: Any) -> AsyncIterator[Any]:
        given, own_context = crossed(request, context)
        async for item in items_of(loop, lambda put: answer(given, own_context, put)):
            yield item

    return with_behavior(handler, stream if handler.response_streaming else single)


async def _found_by(interceptors: Sequence[Any], path: str, handler: Handler, context: Any) -> Handler:
    """Return the method that the interceptors choose for the call; raises what they raise."""

    async def innermost(details: Any) -> Any:
        return handler

    follow: Callable[[Any], Any] = innermost
    for interceptor in reversed(interceptors):
        follow = _followed(interceptor, follow)
    found: Handler | None = await follow(_Details(path, context.invocation_metadata()))
    if found is None:
        await context.abort(grpc.StatusCode.UNIMPLEMENTED, "Method not found!")
    if not is_async(found):
        raise TypeError(f"an interceptor of {path} returned a plain function; expected a coroutine function")
    return found


async def _answer_with(found: Handler, handler: Handler, request: Any, context: Any, put: Callable[[Any], Any]) -> None:
    """Call the method that was found in place of `handler`; `put` gets each message that it answers."""
    given = _as_taken(request, handler, found)
    if not isinstance(given, _IncomingRequests) and found.request_streaming and not handler.request_streaming:
        given = _one(request)
    outcome = behavior(found)(given, context)
    if hasattr(outcome, "__aiter__"):
        async for item in outcome:
            await put(item)
    elif not found.response_streaming:
        await put(await outcome)
    else:
        await outcome  # it answers by context.write()


def _followed(interceptor: Any, follow: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda details: interceptor.intercept_service(follow, details)


def _as_taken(request: Any, handler: Handler, found: Handler) -> Any:
    """Return the request as the method that an interceptor chose takes it: a message, or messages."""
    if handler.request_streaming == found.request_streaming or isinstance(request, _IncomingRequests):
        return request
    return iter((request,)) if found.request_streaming else next(iter(request))


def with_behavior(handler: Handler, function: Callable[..., Any]) -> Handler:
    """Return the method with another function, under its own name."""
    inner = behavior(handler)
    function.__qualname__ = getattr(inspect.unwrap(inner), "__qualname__", function.__qualname__)
    kinds = ("unary_unary", "unary_stream", "stream_unary", "stream_stream")
    return handler._replace(**{kind: function for kind in kinds if getattr(handler, kind)})


async def _one(request: Any) -> AsyncIterator[Any]:
    yield request


class _IncomingRequests:
    """The requests of a stream, read in the loop that they arrive in."""

    def __init__(self, requests: Any, loop: asyncio.AbstractEventLoop) -> None:
        self._requests = aiter(requests)
        self._loop = loop

    def __aiter__(self) -> _IncomingRequests:
        return self

    async def __anext__(self) -> Any:
        item = await run_in(self._loop, self._next)
        if item is _END:
            raise StopAsyncIteration
        return item

    async def _next(self) -> Any:
        # StopAsyncIteration cannot leave a coroutine.
        return await anext(self._requests, _END)


class _Context:
    """The context of a call, used in the loop of its program; what it sends is sent in the listener's loop."""

    def __init__(self, context: Any, here: asyncio.AbstractEventLoop, loop: asyncio.AbstractEventLoop) -> None:
        self._context = context
        self._here = here
        self._loop = loop

    async def read(self) -> Any:
        return await run_in(self._here, self._context.read)

    async def write(self, message: Any) -> None:
        await run_in(self._here, self._context.write, message)

    async def send_initial_metadata(self, metadata: Any) -> None:
        await run_in(self._here, self._context.send_initial_metadata, metadata)

    async def abort(self, code: Any, details: str = "", trailing_metadata: Any = ()) -> None:
        await run_in(self._here, self._context.abort, code, details, trailing_metadata)

    async def abort_with_status(self, status: Any) -> None:
        await run_in(self._here, self._context.abort_with_status, status)

    def add_done_callback(self, callback: Callable[[Any], None]) -> None:
        self._context.add_done_callback(lambda context: self._loop.call_soon_threadsafe(callback, self))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._context, name)
