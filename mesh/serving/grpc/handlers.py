"""The layers around a servicer's methods: bytes in, bytes out, every exception a status."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event, get_ident
from typing import Any, NoReturn, Self, cast

import grpc

from mesh.compat.grpcio import end_call, ended
from mesh.context import Call, call_from
from mesh.contract.servicers import Handler, behavior
from mesh.errors import Code, StatusError
from mesh.layers import in_time, inbound
from mesh.observing.journal import InFlight
from mesh.observing.span import Span
from mesh.service import ServiceContext
from mesh.serving.grpc.call_queue import refused
from mesh.serving.grpc.calls import ActiveCalls, Attempt

#: Seconds within which a stream whose client has left can be told from one that has ended: grpc ends the requests of
#: both alike, and reports the cancellation just after that (2 ms at most, measured with grpcio 1.85).
CANCEL_SECONDS = 0.01


class Layered:
    """One method of a synchronous servicer within the layers; requests and answers cross grpc as bytes.

    gRPC looks a method up and begins the call later, once a thread is free and the request is there. The call begins on
    the newest code at that time: `successor` is the same method of the next generation.

    calls: where the method's calls are listed while they run.
    """

    def __init__(self, path: str, handler: Handler, service: ServiceContext, calls: ActiveCalls) -> None:
        self._calls = calls
        self.path = path
        self.name = path.rpartition("/")[2]
        self.inner = handler
        self.service = service
        self.successor: Self | None = None
        self.behave: Any = behavior(handler)
        self._decode = handler.request_deserializer or bytes
        self._encode = handler.response_serializer or bytes

    def handler(self) -> Handler:
        """Return the method as a gRPC server takes it."""
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
        """Let calls that were looked up here begin on `successor`, if it has the same shape."""
        if isinstance(successor, type(self)) and self.shape() == successor.shape():
            self.successor = cast(Self, successor)

    def shape(self) -> tuple[object, ...]:
        """Return what a gRPC server must know before a call begins."""
        return type(self), self.inner.request_streaming, self.inner.response_streaming

    def newest(self, call: Call) -> Self:
        """Return the method to begin on, with the call recorded as in flight: a swap from now on waits for it."""
        method = self
        while True:
            while method.successor is not None:
                method = method.successor
            method.service.journal.in_flight[call.span_id] = InFlight(method.service, method.name, get_ident())
            if method.successor is None:
                return method

    @contextmanager
    def attempt(self, context: Any) -> Iterator[Attempt]:
        """Begin a call on the newest code; when the block ends, record it with what its caller was told."""
        metadata = tuple(context.invocation_metadata())
        carrier = {key: value for key, value in metadata if isinstance(value, str)}
        carrier.pop("grpc-timeout", None)  # gRPC has read it
        call = call_from(carrier, context.time_remaining())
        call.received = metadata
        method = self.newest(call)
        with (
            inbound(method.service, "grpc", method.path, call) as span,
            self._calls.including(Attempt(method, context, call, span)) as attempt,
        ):
            yield attempt

    def _single(self, request: Any, context: grpc.ServicerContext) -> Any:
        with self._answering(context) as attempt:
            method = cast(Self, attempt.method)
            return method.encoded(method.behave(method.read(request, context, attempt.span), context), attempt.span)

    def _streaming(self, request: Any, context: grpc.ServicerContext) -> Any:
        with self._answering(context) as attempt:
            method = cast(Self, attempt.method)
            for response in method.behave(method.read(request, context, attempt.span), context):
                yield method.encoded(response, attempt.span)

    @contextmanager
    def _answering(self, context: grpc.ServicerContext) -> Iterator[Attempt]:
        with self.attempt(context) as attempt:
            try:
                if (reason := refused()) is not None:
                    raise reason
                in_time(attempt.call)
                yield attempt
            except GeneratorExit:
                attempt.span.status = Code.CANCELLED.name
                raise
            except BaseException as error:
                if isinstance(error, grpc.RpcError) and not context.is_active():
                    # Raised by the requests of a stream in a handler whose call is over.
                    attempt.span.status = Code.CANCELLED.name
                    raise
                if not attempt.cut_reason:
                    refuse(error, attempt)
            if attempt.cut_reason:
                attempt.trailers_of_cut()
                raise ended(context)
            attempt.finish()
            if not context.is_active():
                attempt.span.status = Code.CANCELLED.name

    def cut(self, attempt: Attempt) -> None:
        """End the call from outside, by its `cut_reason`; the handler's thread cannot be interrupted."""
        trailers = attempt.trailers_of_cut()
        end_call(attempt.context, trailers.code, trailers.message)

    def read(self, request: Any, context: Any, span: Span) -> Any:
        """Return the request's message, or the messages of a stream as they arrive; adds them to the record."""
        return self._messages(request, context, span) if self.inner.request_streaming else self.message(request, span)

    def _messages(self, requests: Any, context: grpc.ServicerContext, span: Span) -> Iterator[Any]:
        over = Event()
        if not context.add_callback(over.set):
            over.set()
        for request in requests:
            yield self.message(request, span)
        if over.wait(CANCEL_SECONDS):
            raise grpc.RpcError("the client left before the end of its stream")

    def message(self, data: bytes, span: Span) -> Any:
        span.add_request(data)
        try:
            return self._decode(data)
        except Exception as error:
            raise StatusError(Code.INVALID_ARGUMENT, f"{self.name}: the request is not a valid message") from error

    def encoded(self, response: Any, span: Span) -> Any:
        try:
            data = self._encode(response)
        except Exception as error:
            name = getattr(inspect.unwrap(self.behave), "__qualname__", self.name)
            raise TypeError(
                f"{self.service.name}: {name} answered {response!r:.80}, which is not a message of its type"
            ) from error
        span.add_response(data)
        return data


def refuse(error: BaseException, attempt: Attempt) -> NoReturn:
    """End the call of a synchronous server with the status of the error."""
    context = attempt.context
    if aborted(error, context):
        attempt.finish()
        raise error
    code, message, metadata = attempt.trailers(error)
    context.set_trailing_metadata(metadata)
    context.abort(code, message)
    raise AssertionError("abort() raises")


def aborted(error: BaseException, context: Any) -> bool:
    """Return whether `error` is the bare Exception with which grpc's own context.abort() leaves the handler."""
    return type(error) is Exception and not error.args and context.code() is not None
