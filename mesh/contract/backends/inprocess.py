"""Calls a servicer of this process through its handlers, without serialization or a socket."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from concurrent.futures import Executor
from typing import Any

from google.protobuf.message import Message

from mesh.contract.backends.backend import Metadata, Reply
from mesh.contract.backends.servicer_context import EOF, AioContext, SyncContext
from mesh.contract.backends.threads import END, ThreadedHandler, contained, contained_error
from mesh.contract.methods import Method
from mesh.contract.own_protobuf import own_messages
from mesh.contract.servicers import Handler, behavior, is_async
from mesh.errors import Code, StatusError


class ServicerBackend:
    """Calls plain functions in `executor` (None: the loop's own) and coroutine functions in the running loop.

    An exception of the servicer is raised unchanged; a status set in its context, as StatusError. It sees the current
    context's variables.
    """

    def __init__(self, handlers: Mapping[str, Handler], executor: Executor | None = None) -> None:
        self._handlers = {path: _callable(handler, executor) for path, handler in handlers.items()}
        translators = {path: own_messages(handler) for path, handler in handlers.items()}
        self._translators = {path: each for path, each in translators.items() if each is not None}

    async def unary(self, method: Method, request: Message, metadata: Metadata, timeout: float | None) -> Reply:
        context = self._context(method, metadata, timeout)
        try:
            if timeout is None:
                answer = await self._run(method, request, context)
            else:
                answer = await _by(timeout, self._run(method, request, context))
        except Exception as error:
            failure = context.failure(error)
            raise failure from failure.__cause__
        finally:
            context.close()
        if (status := context.error()) is not None:
            raise status
        return Reply(self._checked(method, answer), tuple(context.initial), tuple(context.trailing))

    async def _run(self, method: Method, request: Any, context: Any) -> Any:
        handler = self._handlers[method.path]
        if (own := self._translators.get(method.path)) is not None:
            request = own.request(request)
        if isinstance(handler, ThreadedHandler):
            return await handler.unary(request, context)
        return await contained(handler(request, context))

    async def stream(
        self, method: Method, requests: AsyncIterator[Message], metadata: Metadata, timeout: float | None
    ) -> AsyncGenerator[Message, None]:
        context = self._context(method, metadata, timeout)
        deadline = None if timeout is None else time.monotonic() + timeout
        handler = self._handlers[method.path]
        if (own := self._translators.get(method.path)) is not None:
            requests = _each(own.request, requests)
        if isinstance(handler, ThreadedHandler):
            answers = handler.stream(requests, context)
        else:
            answers = self._async_answers(method, handler, requests, context)
        try:
            while True:
                answer = await (anext(answers, END) if deadline is None else _until(deadline, anext(answers, END)))
                if answer is END:
                    break
                yield self._checked(method, answer)
            if (error := context.error()) is not None:
                raise error
        except Exception as error:
            failure = context.failure(error)
            raise failure from failure.__cause__
        finally:
            context.close()
            await answers.aclose()

    async def _async_answers(
        self, method: Method, function: Callable[..., Any], requests: AsyncIterator[Message], context: AioContext
    ) -> AsyncGenerator[Any, None]:
        context.reader = lambda: anext(requests, EOF)
        argument = requests if method.client_streaming else await anext(requests)
        made = function(argument, context)
        if hasattr(made, "__aiter__"):
            try:
                async with contextlib.aclosing(made):
                    async for answer in made:
                        yield answer
            except (SystemExit, KeyboardInterrupt) as error:
                raise contained_error(error) from error
        elif method.server_streaming:
            async for answer in _written(made, context):
                yield answer
        else:
            yield await contained(made)

    def _checked(self, method: Method, answer: Any) -> Message:
        """Return the answer as a message of the contract."""
        if (own := self._translators.get(method.path)) is not None:
            return own.answer(method, answer)
        if not isinstance(answer, method.response_class):
            raise TypeError(f"{method} returned {type(answer).__name__}, not {method.response_class.__name__}")
        return answer

    def _context(self, method: Method, metadata: Metadata, timeout: float | None) -> Any:
        """Return a context of the handler's kind; raises StatusError UNIMPLEMENTED if the method has no handler."""
        if method.path not in self._handlers:
            raise StatusError(Code.UNIMPLEMENTED, f"{method} has no handler")
        kind = SyncContext if isinstance(self._handlers[method.path], ThreadedHandler) else AioContext
        return kind(metadata, None if timeout is None else time.monotonic() + timeout)


def _callable(handler: Handler, executor: Executor | None) -> ThreadedHandler | Callable[..., Any]:
    if is_async(handler):
        return behavior(handler)
    streaming = {"client_streaming": handler.request_streaming, "server_streaming": handler.response_streaming}
    return ThreadedHandler(behavior(handler), executor, **streaming)


async def _written(made: Any, context: AioContext) -> AsyncGenerator[Any, None]:
    """Yield the answers of a coroutine that calls `context.write`; each waits until the previous one is taken."""
    written: asyncio.Queue[Any] = asyncio.Queue(maxsize=1)
    context.writer = written.put
    task = asyncio.ensure_future(contained(made))
    task.add_done_callback(lambda _: written.put_nowait(END) if not written.full() else None)
    try:
        while not task.done() or not written.empty():
            if (answer := await written.get()) is not END:
                yield answer
        await task
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError, Exception):
            await task


async def _by(timeout: float, work: Any) -> Any:
    try:
        async with asyncio.timeout(timeout) as scope:
            return await work
    except TimeoutError:
        if scope.expired():
            raise StatusError(Code.DEADLINE_EXCEEDED, "the deadline has passed") from None
        raise


async def _until(deadline: float, work: Any) -> Any:
    return await _by(deadline - time.monotonic(), work)


async def _each(turn: Callable[[Any], Any], items: AsyncIterator[Any]) -> AsyncIterator[Any]:
    async for item in items:
        yield turn(item)
