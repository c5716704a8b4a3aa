"""The layers around the methods of an async servicer."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

import grpc
import grpc.aio

from mesh.context import Call
from mesh.contract.servicers import Handler, is_async
from mesh.contract.status import DETAILS_KEY, status_bytes
from mesh.errors import Code
from mesh.hosting.current import ServiceContext
from mesh.layers import Answer, in_time, inbound, status_of
from mesh.serving.grpc_handlers import CODES, Layered, arriving, code_set


def layered_aio(handlers: Mapping[str, Handler], service: ServiceContext) -> dict[str, Handler]:
    """The same methods within the layers, for a server of grpc.aio; plain methods keep their plain form."""
    return {
        path: (LayeredAio if is_async(handler) else Layered)(path, handler, service).handler()
        for path, handler in handlers.items()
    }


class LayeredAio(Layered):
    """One method of an async servicer within the layers."""

    def _single(self, behave: Any, read: Callable[[Any], Any]) -> Callable[..., Any]:
        async def single(request: Any, context: Any) -> Any:
            call = arriving(context)
            with inbound(self.service, "grpc", self.name, call) as answer:
                try:
                    in_time(call)
                    encoded = self._encoded(await behave(read(request), Coding(context, self)))
                except BaseException as error:
                    await self._refuse_aio(error, context, call, answer)
                answer.status = code_set(context).name
                return encoded

        return single

    def _streaming(self, behave: Any, read: Callable[[Any], Any]) -> Callable[..., Any]:
        if not inspect.isasyncgenfunction(inspect.unwrap(behave)):
            return self._writing(behave, read)

        async def streaming(request: Any, context: Any) -> AsyncIterator[Any]:
            call = arriving(context)
            with inbound(self.service, "grpc", self.name, call) as answer:
                try:
                    in_time(call)
                    async for response in behave(read(request), Coding(context, self)):
                        yield self._encoded(response)
                except GeneratorExit:
                    answer.status = Code.CANCELLED.name
                    raise
                except BaseException as error:
                    await self._refuse_aio(error, context, call, answer)
                answer.status = code_set(context).name

        return streaming

    def _writing(self, behave: Any, read: Callable[[Any], Any]) -> Callable[..., Any]:
        """A method that answers with context.write()."""

        async def writing(request: Any, context: Any) -> None:
            call = arriving(context)
            with inbound(self.service, "grpc", self.name, call) as answer:
                try:
                    in_time(call)
                    await behave(read(request), Coding(context, self))
                except BaseException as error:
                    await self._refuse_aio(error, context, call, answer)
                answer.status = code_set(context).name

        return writing

    def _messages(self, requests: Any) -> Any:
        async def messages() -> AsyncIterator[Any]:
            async for request in requests:
                yield self._message(request)

        return messages()

    async def _refuse_aio(self, error: BaseException, context: Any, call: Call, answer: Answer) -> None:
        """Ends the call with the error's status; never returns."""
        if isinstance(error, asyncio.CancelledError):
            answer.status = Code.CANCELLED.name
            raise error
        if isinstance(error, grpc.aio.AbortError):
            answer.status = code_set(context).name
            raise error
        refusal = status_of(error, self.service, call)
        answer.status = refusal.code.name
        details = ((DETAILS_KEY, status_bytes(refusal)),) if refusal.details else ()
        await context.abort(CODES[refusal.code], refusal.message, details)


class Coding:
    """A context whose read() and write() speak messages, though bytes cross grpc."""

    def __init__(self, context: Any, method: Layered) -> None:
        self._context = context
        self._method = method

    async def read(self) -> Any:
        data = await self._context.read()
        return data if data is grpc.aio.EOF else self._method._message(data)

    async def write(self, message: Any) -> None:
        await self._context.write(self._method._encoded(message))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._context, name)
