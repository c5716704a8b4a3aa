"""Calls a servicer of this process straight from its handlers: nothing is serialized, no socket is crossed."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Mapping
from concurrent.futures import CancelledError, Executor, Future
from contextvars import Context, copy_context
from typing import Any

from google.protobuf.message import Message

from mesh.contract.backends.backend import Metadata, Reply
from mesh.contract.backends.servicer_context import EOF, AioContext, CallState, SyncContext
from mesh.contract.methods import Method
from mesh.contract.servicers import Handler, behavior, is_async
from mesh.errors import Code, StatusError

_END = object()


class HandlerExit(Exception):
    """A servicer raised SystemExit or the like, which would end the loop or the thread that met it."""


class ServicerBackend:
    """Plain functions run in `executor` (None: the loop's own), coroutines in the running loop.

    What a servicer raises by itself comes out as it is; what it says by its context, as StatusError. The current
    context's variables are visible to it.
    """

    def __init__(self, handlers: Mapping[str, Handler], executor: Executor | None = None) -> None:
        self._executor = executor
        self._handlers = {path: (behavior(handler), is_async(handler)) for path, handler in handlers.items()}

    async def unary(self, method: Method, request: Message, metadata: Metadata, timeout: float | None) -> Reply:
        function, asynchronous = self._handler(method)
        deadline = None if timeout is None else time.monotonic() + timeout
        context: Any = (AioContext if asynchronous else SyncContext)(metadata, deadline)
        try:
            if timeout is None:
                answer = await self._run(function, asynchronous, request, context)
            else:
                answer = await _by(timeout, self._run(function, asynchronous, request, context))
        except Exception as error:
            raise _ended(context, error) from error.__cause__
        finally:
            context.close()
        return Reply(_finished(method, context, answer), (*context.initial, *context.trailing))

    async def _run(self, function: Callable[..., Any], asynchronous: bool, request: Any, context: Any) -> Any:
        if asynchronous:
            return await _kept_in(function(request, context))
        answer = await self._in_thread(copy_context(), function, request, context)
        # A plain function may wrap a coroutine function.
        return await _kept_in(answer) if inspect.isawaitable(answer) else answer

    async def stream(
        self, method: Method, requests: AsyncIterator[Message], metadata: Metadata, timeout: float | None
    ) -> AsyncGenerator[Message, None]:
        function, asynchronous = self._handler(method)
        deadline = None if timeout is None else time.monotonic() + timeout
        context: Any = (AioContext if asynchronous else SyncContext)(metadata, deadline)
        answers = (self._async_answers if asynchronous else self._sync_answers)(method, function, requests, context)
        try:
            while True:
                answer = await (anext(answers, _END) if deadline is None else _until(deadline, anext(answers, _END)))
                if answer is _END:
                    break
                yield _checked(method, answer)
            if (error := context.error()) is not None:
                raise error
        except Exception as error:
            raise _ended(context, error) from error.__cause__
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
                raise _contained(error) from error
        elif method.server_streaming:
            async for answer in _written(made, context):
                yield answer
        else:
            yield await _kept_in(made)

    async def _sync_answers(
        self, method: Method, function: Callable[..., Any], requests: AsyncIterator[Message], context: SyncContext
    ) -> AsyncGenerator[Any, None]:
        variables = copy_context()
        argument = _Requests(requests, asyncio.get_running_loop()) if method.client_streaming else await anext(requests)
        if isinstance(argument, _Requests):
            context.add_callback(argument.cancel)
        made = await self._in_thread(variables, function, argument, context)
        if not method.server_streaming:
            yield made
            return
        answers = iter(made)
        try:
            while (answer := await self._in_thread(variables, next, answers, _END)) is not _END:
                yield answer
        finally:
            context.close()
            await self._close(variables, answers)

    async def _close(self, variables: Context, answers: Iterator[Any]) -> None:
        # Where a thread still runs in it, the generator is closed when that thread lets go of it.
        if hasattr(answers, "close") and not getattr(answers, "gi_running", False):
            with contextlib.suppress(RuntimeError, ValueError):
                await self._in_thread(variables, answers.close)

    async def _in_thread(self, variables: Context, function: Callable[..., Any], *arguments: Any) -> Any:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._executor, variables.run, _keeping, function, arguments)

    def _handler(self, method: Method) -> tuple[Callable[..., Any], bool]:
        try:
            return self._handlers[method.path]
        except KeyError:
            raise StatusError(Code.UNIMPLEMENTED, f"{method} has no handler") from None


class _Requests:
    """Requests of an async iterator, for the thread of a plain servicer."""

    def __init__(self, requests: AsyncIterator[Message], loop: asyncio.AbstractEventLoop) -> None:
        self._requests = requests
        self._loop = loop
        self._awaited: Future[Any] | None = None
        self._cancelled = False

    def __iter__(self) -> _Requests:
        return self

    def __next__(self) -> Message:
        if self._cancelled:
            raise StatusError(Code.CANCELLED, "the call is over")
        self._awaited = asyncio.run_coroutine_threadsafe(self._next(), self._loop)
        try:
            request = self._awaited.result()
        except CancelledError:
            raise StatusError(Code.CANCELLED, "the call is over") from None
        if request is _END:
            raise StopIteration
        return request  # type: ignore[no-any-return]  # a message, since it is not the end

    async def _next(self) -> Any:
        return await anext(self._requests, _END)

    def cancel(self) -> None:
        """Wakes a thread that waits for the next request."""
        self._cancelled = True
        if self._awaited is not None:
            self._awaited.cancel()


def _ended(context: CallState, error: Exception) -> Exception:
    """What the call ends with: what its servicer said by the context, else what it raised."""
    return context.error(error) or error


async def _written(made: Any, context: AioContext) -> AsyncGenerator[Any, None]:
    """The answers of a coroutine that calls `context.write`; each waits for the one before to be taken."""
    written: asyncio.Queue[Any] = asyncio.Queue(maxsize=1)
    context.writer = written.put
    task = asyncio.ensure_future(_kept_in(made))
    task.add_done_callback(lambda _: written.put_nowait(_END) if not written.full() else None)
    try:
        while not task.done() or not written.empty():
            if (answer := await written.get()) is not _END:
                yield answer
        await task
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError, Exception):
            await task


def _keeping(function: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
    try:
        return function(*arguments)
    except (SystemExit, KeyboardInterrupt, GeneratorExit, StopIteration) as error:
        raise _contained(error) from error


async def _kept_in(made: Any) -> Any:
    try:
        return await made
    except (SystemExit, KeyboardInterrupt) as error:
        raise _contained(error) from error


def _contained(error: BaseException) -> HandlerExit:
    """What would end a loop or a thread, or what no future can carry, as an exception like others."""
    return HandlerExit(f"the servicer raised {type(error).__name__}({error})")


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


def _finished(method: Method, context: CallState, answer: Any) -> Message:
    if (error := context.error()) is not None:
        raise error
    return _checked(method, answer)


def _checked(method: Method, answer: Any) -> Message:
    if not isinstance(answer, method.response_class):
        raise TypeError(f"{method} returned {type(answer).__name__}, not {method.response_class.__name__}")
    return answer
