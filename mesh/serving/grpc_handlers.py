"""The layers around a servicer's methods: bytes in, bytes out, every exception a status."""

from __future__ import annotations

import inspect
from threading import get_ident
from typing import Any, Self, cast

import grpc

from mesh.context import Call, call_from
from mesh.contract.servicers import Handler, behavior
from mesh.contract.status import DETAILS_KEY, status_bytes
from mesh.errors import Code, StatusError
from mesh.layers import Outcome, in_time, inbound, status_of
from mesh.observing.journal import InFlight
from mesh.service import ServiceContext

CODES = {int(code.value[0]): code for code in grpc.StatusCode}


class Layered:
    """One method of a synchronous servicer within the layers; requests and answers cross grpc as bytes.

    gRPC looks a method up and begins the call later, when a thread is free and the request is there. The call begins on
    the newest code that there is by then: `successor` is the same method of the generation that follows.
    """

    def __init__(self, path: str, handler: Handler, service: ServiceContext) -> None:
        self.name = path.rpartition("/")[2]
        self.inner = handler
        self.service = service
        self.successor: Self | None = None
        self.behave: Any = behavior(handler)
        self._decode = handler.request_deserializer or bytes
        self._encode = handler.response_serializer or bytes

    def handler(self) -> Handler:
        """The method as a gRPC server takes it."""
        inner, answers = self.inner, self._answers()
        if inner.request_streaming and inner.response_streaming:
            return grpc.stream_stream_rpc_method_handler(answers)
        if inner.response_streaming:
            return grpc.unary_stream_rpc_method_handler(answers)
        if inner.request_streaming:
            return grpc.stream_unary_rpc_method_handler(answers)
        return grpc.unary_unary_rpc_method_handler(answers)

    def _answers(self) -> Any:
        return self._streaming if self.inner.response_streaming else self._single

    def succeed(self, successor: Layered) -> None:
        """Has calls that were looked up here begin there, where it is a method of the same shape."""
        if isinstance(successor, type(self)) and self.shape() == successor.shape():
            self.successor = cast(Self, successor)

    def shape(self) -> tuple[object, ...]:
        """What a gRPC server has to know before a call begins."""
        return type(self), self.inner.request_streaming, self.inner.response_streaming

    def newest(self, call: Call) -> Self:
        """The method to begin on, with the call noted as in flight: a swap from now on waits for it."""
        method = self
        while True:
            while method.successor is not None:
                method = method.successor
            method.service.journal.in_flight[call.span_id] = InFlight(method.service, method.name, get_ident())
            if method.successor is None:
                return method

    def _single(self, request: Any, context: grpc.ServicerContext) -> Any:
        call = arriving(context)
        method = self.newest(call)
        with inbound(method.service, "grpc", method.name, call) as answer:
            try:
                in_time(call)
                encoded = method.encoded(method.behave(method.read(request), context))
            except BaseException as error:
                method.refuse(error, context, call, answer)
            answer.status = code_set(context).name
            return encoded

    def _streaming(self, request: Any, context: grpc.ServicerContext) -> Any:
        call = arriving(context)
        method = self.newest(call)
        with inbound(method.service, "grpc", method.name, call) as answer:
            try:
                in_time(call)
                for response in method.behave(method.read(request), context):
                    yield method.encoded(response)
            except GeneratorExit:
                answer.status = Code.CANCELLED.name
                raise
            except BaseException as error:
                method.refuse(error, context, call, answer)
            answer.status = code_set(context).name if context.is_active() else Code.CANCELLED.name

    def read(self, request: Any) -> Any:
        """The request's message, or the messages of a stream as they come."""
        return map(self.message, request) if self.inner.request_streaming else self.message(request)

    def message(self, data: bytes) -> Any:
        try:
            return self._decode(data)
        except Exception as error:
            raise StatusError(Code.INVALID_ARGUMENT, f"{self.name}: the request is no valid message") from error

    def encoded(self, response: Any) -> Any:
        try:
            return self._encode(response)
        except Exception as error:
            name = getattr(inspect.unwrap(self.behave), "__qualname__", self.name)
            raise TypeError(
                f"{self.service.name}: {name} answered {response!r:.80}, which is not its message"
            ) from error

    def refuse(self, error: BaseException, context: grpc.ServicerContext, call: Call, answer: Outcome) -> None:
        """Ends the call with the error's status; never returns."""
        if aborted(error, context):
            answer.status = code_set(context).name
            raise error
        refusal = status_of(error, self.service, call)
        answer.status = refusal.code.name
        if refusal.details:
            context.set_trailing_metadata(((DETAILS_KEY, status_bytes(refusal)),))
        context.abort(CODES[refusal.code], refusal.message)


def arriving(context: grpc.ServicerContext) -> Call:
    """The call in hand, from the metadata and the deadline that gRPC knows."""
    carrier = {key: value for key, value in context.invocation_metadata() if isinstance(value, str)}
    carrier.pop("grpc-timeout", None)
    return call_from(carrier, context.time_remaining())


def code_set(context: grpc.ServicerContext) -> Code:
    """The code the handler left in its context; OK where it set none."""
    code = _code(context)
    return Code.OK if code is None else Code(code.value[0] if isinstance(code, grpc.StatusCode) else code)


def _code(context: Any) -> Any:
    """What set_code() was given; the published types do not know that a context can be asked."""
    return context.code()


def aborted(error: BaseException, context: grpc.ServicerContext) -> bool:
    """Whether `error` is the bare Exception by which grpc's own context.abort() leaves the handler."""
    return type(error) is Exception and not error.args and _code(context) is not None
