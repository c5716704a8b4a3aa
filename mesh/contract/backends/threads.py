"""Runs plain handlers for an event loop: each of their steps in a thread of an executor."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from concurrent.futures import CancelledError, Executor, Future
from contextvars import Context, copy_context
from typing import Any

from google.protobuf.message import Message

from mesh.contract.backends.servicer_context import SyncContext
from mesh.errors import Code, StatusError

END = object()


class HandlerExit(Exception):
    """Raised if a servicer raises SystemExit or the like, which would end the loop or the thread that runs it."""


class ThreadedHandler:
    """A servicer's plain function.

    executor: None for the loop's own. The caller's context variables are visible to the function.
    begun: runs the steps of a stream after its first; by default, `executor` does.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        executor: Executor | None,
        *,
        begun: Executor | None = None,
        client_streaming: bool = False,
        server_streaming: bool = False,
    ) -> None:
        self._function = function
        self._executor = executor
        self._begun = begun or executor
        self._client_streaming = client_streaming
        self._server_streaming = server_streaming

    async def unary(self, request: Any, context: SyncContext) -> Any:
        """Return the answer to one request."""
        answer = await self._in_thread(self._executor, copy_context(), self._function, request, context)
        # A plain function may wrap a coroutine function.
        return await contained(answer) if inspect.isawaitable(answer) else answer

    async def stream(self, requests: AsyncIterator[Any], context: SyncContext) -> AsyncGenerator[Any, None]:
        """Yield the answers of a method that streams in either direction."""
        variables = copy_context()
        argument: Any
        if self._client_streaming:
            argument = _Requests(requests, asyncio.get_running_loop())
            context.add_callback(argument.cancel)
        else:
            argument = await anext(requests)
        made = await self._in_thread(self._executor, variables, self._function, argument, context)
        if not self._server_streaming:
            yield made
            return
        answers = iter(made)
        try:
            while (answer := await self._in_thread(self._begun, variables, next, answers, END)) is not END:
                yield answer
        finally:
            context.close()
            await self._close(variables, answers)

    async def _close(self, variables: Context, answers: Iterator[Any]) -> None:
        # If a thread still runs in it, the generator is closed once that thread leaves it.
        if hasattr(answers, "close") and not getattr(answers, "gi_running", False):
            with contextlib.suppress(RuntimeError, ValueError):
                await self._in_thread(self._begun, variables, answers.close)

    async def _in_thread(
        self, executor: Executor | None, variables: Context, function: Callable[..., Any], *arguments: Any
    ) -> Any:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(executor, variables.run, _keeping, function, arguments)


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
        if request is END:
            raise StopIteration
        return request  # type: ignore[no-any-return]  # a message, since it is not the end

    async def _next(self) -> Any:
        return await anext(self._requests, END)

    def cancel(self) -> None:
        """Wake a thread that waits for the next request."""
        self._cancelled = True
        if self._awaited is not None:
            self._awaited.cancel()


def _keeping(function: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
    try:
        return function(*arguments)
    except (SystemExit, KeyboardInterrupt, GeneratorExit, StopIteration) as error:
        raise contained_error(error) from error


async def contained(made: Any) -> Any:
    """Await a servicer's coroutine; what would end the loop is raised as HandlerExit."""
    try:
        return await made
    except (SystemExit, KeyboardInterrupt) as error:
        raise contained_error(error) from error


def contained_error(error: BaseException) -> HandlerExit:
    """Return what would end a loop or a thread, or what no future can carry, as an ordinary exception."""
    return HandlerExit(f"the servicer raised {type(error).__name__}({error})")
