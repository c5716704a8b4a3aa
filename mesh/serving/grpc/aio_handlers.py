"""The layers around the methods of an async servicer."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from typing import Any, NoReturn, cast

import grpc
import grpc.aio

from mesh.contract.backends.servicer_context import SyncContext, code_given
from mesh.contract.backends.threads import ThreadedHandler
from mesh.contract.servicers import Handler, is_async
from mesh.errors import Code
from mesh.layers import in_time
from mesh.observing.span import Span
from mesh.service import ServiceContext
from mesh.serving.grpc.call_queue import CallQueue
from mesh.serving.grpc.calls import ActiveCalls, Attempt
from mesh.serving.grpc.handlers import CANCEL_SECONDS, Layered
from mesh.serving.grpc.status import CODES, cut, room_beside


class LayeredAio(Layered):
    """One method within the layers, for a server of grpc.aio.

    queue: runs the plain functions of the servicer.
    """

    def __init__(
        self, path: str, handler: Handler, service: ServiceContext, calls: ActiveCalls, queue: CallQueue
    ) -> None:
        super().__init__(path, handler, service, calls)
        if not is_async(handler):
            self.behave = _threaded(handler, self.behave, queue)
        self._tasks: dict[Attempt, asyncio.Task[Any] | None] = {}

    def _answers(self) -> Any:
        return self._writing if self.inner.response_streaming and not self._generates() else super()._answers()

    def shape(self) -> tuple[object, ...]:
        return *super().shape(), self._generates()

    def _generates(self) -> bool:
        return inspect.isasyncgenfunction(inspect.unwrap(self.behave))

    async def _single(self, request: Any, context: Any) -> Any:
        async with self._answering_aio(context) as attempt:
            method, span = attempt.method, attempt.span
            answer = await method.behave(method.read(request, context, span), Coding(context, attempt))
            return method.encoded(answer, span)

    async def _streaming(self, request: Any, context: Any) -> AsyncIterator[Any]:
        async with self._answering_aio(context) as attempt:
            method, span = attempt.method, attempt.span
            async for response in method.behave(method.read(request, context, span), Coding(context, attempt)):
                yield method.encoded(response, span)

    async def _writing(self, request: Any, context: Any) -> None:
        """Return a method that answers with context.write()."""
        async with self._answering_aio(context) as attempt:
            method = attempt.method
            await method.behave(method.read(request, context, attempt.span), Coding(context, attempt))

    @asynccontextmanager
    async def _answering_aio(self, context: Any) -> AsyncIterator[Attempt]:
        with self.attempt(context) as attempt:
            method = cast(LayeredAio, attempt.method)
            method._tasks[attempt] = asyncio.current_task()
            try:
                in_time(attempt.call)
                yield attempt
            except GeneratorExit:
                attempt.span.status = Code.CANCELLED.name
                raise
            except BaseException as error:
                await refuse_aio(error, attempt)
            finally:
                del method._tasks[attempt]
            attempt.finish()

    def cut(self, attempt: Attempt) -> None:
        if (task := self._tasks.get(attempt)) is not None:
            task.cancel()

    async def _messages(  # type: ignore[override]  # async
        self, requests: Any, context: Any, span: Span
    ) -> AsyncIterator[Any]:
        async for request in requests:
            yield self.message(request, span)
        await asyncio.sleep(CANCEL_SECONDS)


async def refuse_aio(error: BaseException, attempt: Attempt) -> None:
    """End the call with the status of the error; never returns."""
    if isinstance(error, grpc.aio.AbortError):
        attempt.finish()
        raise error
    if attempt.cut_reason:
        code, message, metadata = attempt.trailers_of_cut()
    elif isinstance(error, asyncio.CancelledError):
        attempt.span.status = Code.CANCELLED.name
        raise error
    else:
        code, message, metadata = attempt.trailers(error)
    await attempt.context.abort(code, message, metadata)


def _threaded(handler: Handler, function: Callable[..., Any], queue: CallQueue) -> Callable[..., Any]:
    """Return a plain function of a servicer as the coroutine function or async generator that grpc.aio takes."""
    streams = handler.request_streaming, handler.response_streaming
    threaded = ThreadedHandler(
        function, queue, begun=queue.begun, client_streaming=streams[0], server_streaming=streams[1]
    )

    async def single(request: Any, context: Any) -> Any:
        async with aclosing(answers(request, context)) as each:
            # Run it to its end: the status that the function set in its context comes after the answer.
            (answer,) = [answer async for answer in each]
            return answer

    async def answers(request: Any, context: Any) -> AsyncGenerator[Any, None]:
        plain = _ThreadContext(context)
        try:
            async with aclosing(threaded.stream(request if streams[0] else _one(request), plain)) as found:
                async for answer in found:
                    await plain.pass_initial_metadata()
                    yield answer
            if (error := plain.error()) is not None:
                raise error
        except Exception as error:
            failure = plain.failure(error)
            raise failure from failure.__cause__
        finally:
            plain.close()
            context.set_trailing_metadata(plain.trailing)

    async def _one(request: Any) -> AsyncIterator[Any]:
        yield request

    for each in (single, answers):
        each.__qualname__ = getattr(function, "__qualname__", each.__qualname__)
    return answers if streams[1] else single


class _ThreadContext(SyncContext):
    """The context of a plain function on a server of grpc.aio, whose own context is for the loop's thread."""

    def __init__(self, context: Any) -> None:
        super().__init__(context.invocation_metadata() or (), None)
        self._context = context
        self._passed = False

    def time_remaining(self) -> Any:
        return self._context.time_remaining()

    def peer(self) -> str:
        return str(self._context.peer())

    async def pass_initial_metadata(self) -> None:
        """Send what the function has set so far, before its first answer."""
        if self.initial and not self._passed:
            self._passed = True
            await self._context.send_initial_metadata(self.initial)


class Coding:
    """A context that takes messages, although bytes cross grpc, and cuts errors to what trailers can hold."""

    def __init__(self, context: Any, attempt: Attempt) -> None:
        self._context = context
        self._method = attempt.method
        self._span = attempt.span

    async def read(self) -> Any:
        data = await self._context.read()
        if data is not grpc.aio.EOF:
            return self._method.message(data, self._span)
        await asyncio.sleep(CANCEL_SECONDS)
        return data

    async def write(self, message: Any) -> None:
        await self._context.write(self._method.encoded(message, self._span))

    async def abort(self, code: Any, details: str = "", trailing_metadata: Any = ()) -> NoReturn:
        own = trailing_metadata or self._context.trailing_metadata() or ()
        await self._context.abort(CODES[code_given(code)], cut(details, room_beside(own)), trailing_metadata)
        raise AssertionError("abort() raises")

    async def abort_with_status(self, status: Any) -> NoReturn:
        await self.abort(status.code, status.details, status.trailing_metadata or ())

    def __getattr__(self, name: str) -> Any:
        return getattr(self._context, name)
