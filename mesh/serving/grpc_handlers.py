"""The layers around a servicer's methods: bytes in, bytes out, every exception a status."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import grpc

from mesh.context import Call, call_from
from mesh.contract.servicers import Handler, behavior
from mesh.contract.status import DETAILS_KEY, status_bytes
from mesh.errors import Code, StatusError
from mesh.hosting.current import ServiceContext
from mesh.layers import Answer, in_time, inbound, status_of

CODES = {int(code.value[0]): code for code in grpc.StatusCode}


def layered(handlers: Mapping[str, Handler], service: ServiceContext) -> dict[str, Handler]:
    """The same methods, each within the layers; requests and answers cross grpc as bytes."""
    return {path: Layered(path, handler, service).handler() for path, handler in handlers.items()}


class Layered:
    """One method of a synchronous servicer within the layers."""

    def __init__(self, path: str, handler: Handler, service: ServiceContext) -> None:
        self.name = path.rpartition("/")[2]
        self.inner = handler
        self.service = service
        self.decode = handler.request_deserializer or bytes
        self.encode = handler.response_serializer or bytes

    def handler(self) -> Handler:
        inner = self.inner
        if inner.request_streaming and inner.response_streaming:
            return grpc.stream_stream_rpc_method_handler(self._streaming(inner.stream_stream, self._messages))
        if inner.response_streaming:
            return grpc.unary_stream_rpc_method_handler(self._streaming(inner.unary_stream, self._message))
        if inner.request_streaming:
            return grpc.stream_unary_rpc_method_handler(self._single(inner.stream_unary, self._messages))
        return grpc.unary_unary_rpc_method_handler(self._single(inner.unary_unary, self._message))

    def _single(self, behave: Any, read: Callable[[Any], Any]) -> Callable[[Any, grpc.ServicerContext], Any]:
        def single(request: Any, context: grpc.ServicerContext) -> Any:
            call = arriving(context)
            with inbound(self.service, "grpc", self.name, call) as answer:
                try:
                    in_time(call)
                    encoded = self._encoded(behave(read(request), context))
                except BaseException as error:
                    self._refuse(error, context, call, answer)
                answer.status = code_set(context).name
                return encoded

        return single

    def _streaming(self, behave: Any, read: Callable[[Any], Any]) -> Callable[[Any, grpc.ServicerContext], Any]:
        def streaming(request: Any, context: grpc.ServicerContext) -> Iterator[Any]:
            call = arriving(context)
            with inbound(self.service, "grpc", self.name, call) as answer:
                try:
                    in_time(call)
                    for response in behave(read(request), context):
                        yield self._encoded(response)
                except GeneratorExit:
                    answer.status = Code.CANCELLED.name
                    raise
                except BaseException as error:
                    self._refuse(error, context, call, answer)
                answer.status = code_set(context).name if context.is_active() else Code.CANCELLED.name

        return streaming

    def _message(self, data: bytes) -> Any:
        try:
            return self.decode(data)
        except Exception as error:
            raise StatusError(Code.INVALID_ARGUMENT, f"{self.name}: the request is no valid message") from error

    def _messages(self, requests: Iterator[bytes]) -> Iterator[Any]:
        return map(self._message, requests)

    def _encoded(self, response: Any) -> Any:
        try:
            return self.encode(response)
        except Exception as error:
            name = getattr(inspect.unwrap(behavior(self.inner)), "__qualname__", self.name)
            raise TypeError(
                f"{self.service.name}: {name} answered {response!r:.80}, which is not its message"
            ) from error

    def _refuse(self, error: BaseException, context: grpc.ServicerContext, call: Call, answer: Answer) -> None:
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
