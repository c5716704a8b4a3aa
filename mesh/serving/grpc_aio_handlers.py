"""The layers around the methods of an async servicer."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator
from typing import Any

import grpc
import grpc.aio

from mesh.context import Call
from mesh.contract.servicers import Handler, is_async
from mesh.contract.status import DETAILS_KEY, status_bytes
from mesh.errors import Code
from mesh.layers import Outcome, in_time, inbound, status_of
from mesh.service import ServiceContext
from mesh.serving.grpc_handlers import CODES, Layered, arriving, code_set


def layered_aio(path: str, handler: Handler, service: ServiceContext) -> Layered:
    """The method within the layers, for a server of grpc.aio; a plain one keeps its plain form."""
    return (LayeredAio if is_async(handler) else Layered)(path, handler, service)


class LayeredAio(Layered):
    """One method of an async servicer within the layers."""

    def _answers(self) -> Any:
        return self._writing if self.inner.response_streaming and not self._generates() else super()._answers()

    def shape(self) -> tuple[object, ...]:
        return *super().shape(), self._generates()

    def _generates(self) -> bool:
        return inspect.isasyncgenfunction(inspect.unwrap(self.behave))

    async def _single(self, request: Any, context: Any) -> Any:
        call = arriving(context)
        method = self.newest(call)
        with inbound(method.service, "grpc", method.name, call) as answer:
            try:
                in_time(call)
                encoded = method.encoded(await method.behave(method.read(request), Coding(context, method)))
            except BaseException as error:
                await method.refuse_aio(error, context, call, answer)
            answer.status = code_set(context).name
            return encoded

    async def _streaming(self, request: Any, context: Any) -> AsyncIterator[Any]:
        call = arriving(context)
        method = self.newest(call)
        with inbound(method.service, "grpc", method.name, call) as answer:
            try:
                in_time(call)
                async for response in method.behave(method.read(request), Coding(context, method)):
                    yield method.encoded(response)
            except GeneratorExit:
                answer.status = Code.CANCELLED.name
                raise
            except BaseException as error:
                await method.refuse_aio(error, context, call, answer)
            answer.status = code_set(context).name

    async def _writing(self, request: Any, context: Any) -> None:
        """A method that answers with context.write()."""
        call = arriving(context)
        method = self.newest(call)
        with inbound(method.service, "grpc", method.name, call) as answer:
            try:
                in_time(call)
                await method.behave(method.read(request), Coding(context, method))
            except BaseException as error:
                await method.refuse_aio(error, context, call, answer)
            answer.status = code_set(context).name

    def read(self, request: Any) -> Any:
        return self._messages(request) if self.inner.request_streaming else self.message(request)

    async def _messages(self, requests: Any) -> AsyncIterator[Any]:
        async for request in requests:
            yield self.message(request)

    async def refuse_aio(self, error: BaseException, context: Any, call: Call, answer: Outcome) -> None:
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
        return data if data is grpc.aio.EOF else self._method.message(data)

    async def write(self, message: Any) -> None:
        await self._context.write(self._method.encoded(message))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._context, name)
