"""Records calls through channels of grpc and grpc.aio: a service gets each channel wrapped in one that records."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable
from types import ModuleType
from typing import Any

from mesh.hosting.clients.destinations import Destinations
from mesh.hosting.patches import Patches
from mesh.observing.outgoing import Outgoing
from mesh.service import current_service_var

_SHAPES = ("unary_unary", "unary_stream", "stream_unary", "stream_stream")


def record_grpc(grpc: ModuleType, patches: Patches, destinations: Destinations) -> None:
    """Record the calls over every channel that a service makes."""
    for module, classes in ((grpc, _sync(grpc)), (grpc.aio, _aio(grpc))):
        channel_class = _channel_class(module, classes)
        for name in ("insecure_channel", "secure_channel"):
            patches.replace(module, name, _recording(getattr(module, name), channel_class, destinations))


def _recording(make: Callable[..., Any], channel_class: Any, destinations: Destinations) -> Callable[..., Any]:
    @functools.wraps(make)
    def channel(target: str, *args: Any, **kwargs: Any) -> Any:
        made = make(target, *args, **kwargs)
        if current_service_var.get() is None:
            return made
        host, port = destinations.split(target)
        return channel_class(made, lambda method, given: destinations.begin("grpc", method, "", host, port, given))

    return channel


def _channel_class(module: ModuleType, classes: dict[str, Any]) -> Any:
    """Return a channel class of the module that delegates everything except the making of calls."""

    def init(self: Any, channel: Any, begin: Callable[[str, str | None], Outgoing | None]) -> None:
        self._channel, self._begin = channel, begin

    def delegated(name: str) -> Callable[..., Any]:
        return lambda self, *args, **kwargs: getattr(self._channel, name)(*args, **kwargs)

    def entering(self: Any) -> Any:
        self._channel.__enter__()
        return self

    async def entering_async(self: Any) -> Any:
        await self._channel.__aenter__()
        return self

    def made(shape: str) -> Callable[..., Any]:
        def multi_callable(
            self: Any, method: str, request_serializer: Any = None, response_deserializer: Any = None, **options: Any
        ) -> Any:
            make = functools.partial(getattr(self._channel, shape), method, **options)
            return classes[shape](make, method, request_serializer, response_deserializer, self._begin)

        return multi_callable

    body: dict[str, Any] = {"__init__": init, "__getattr__": lambda self, name: getattr(self._channel, name)}
    body |= {name: delegated(name) for name in (*module.Channel.__abstractmethods__, "__exit__")}
    body |= {shape: made(shape) for shape in _SHAPES}
    body |= {"__enter__": entering, "__aenter__": entering_async}
    return type("RecordingChannel", (module.Channel,), body)


class _MultiCallable:
    """Begins a record for each call, which is made by a separate multi-callable: it knows whose bytes pass."""

    def __init__(
        self, make: Callable[..., Any], method: str, serializer: Any, deserializer: Any, begin: Callable[..., Any]
    ) -> None:
        self._make = make
        self._method = method
        self._serializer = serializer
        self._deserializer = deserializer
        self._begin_call = begin

    @functools.cached_property
    def _unrecorded(self) -> Any:
        return self._make(self._serializer, self._deserializer)

    def _begun(self, metadata: Any) -> tuple[Outgoing | None, Any, Any]:
        """Return the record or None, the multi-callable to use, and the metadata to send."""
        given = next((str(value) for name, value in metadata or () if name == "traceparent"), None)
        call: Outgoing | None = self._begin_call(self._method, given)
        if call is None:
            return None, self._unrecorded, metadata
        carried = (*(each for each in metadata or () if each[0] != "traceparent"), ("traceparent", call.traceparent))
        span = call.span
        made = self._make(
            _noting_after(self._serializer, span.add_request), _noting_before(self._deserializer, span.add_response)
        )
        return call, made, carried


def _noting_after(serialize: Any, note: Callable[[bytes], None]) -> Callable[[Any], bytes]:
    def serializing(message: Any) -> bytes:
        data: bytes = message if serialize is None else serialize(message)
        note(data)
        return data

    return serializing


def _noting_before(deserialize: Any, note: Callable[[bytes], None]) -> Callable[[bytes], Any]:
    def deserializing(data: bytes) -> Any:
        note(data)
        return data if deserialize is None else deserialize(data)

    return deserializing


def _watched(call: Outgoing | None, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Return a call that continues after it was made: a future, or a stream of answers."""
    try:
        made = function(*args, **kwargs)
    except BaseException as error:
        if call is not None:
            call.end("", error)
        raise
    if call is not None:

        def ended() -> None:
            call.end(made.code().name)

        if not made.add_callback(ended):
            ended()
    return made


def _sync(grpc: ModuleType) -> dict[str, Any]:
    """Return the multi-callables of each shape for plain code."""

    def blocking(call: Outgoing | None, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        try:
            answer = function(*args, **kwargs)
        except BaseException as error:
            if call is not None:
                call.end(error.code().name if isinstance(error, grpc.Call) else "", error)
            raise
        if call is not None:
            call.end("OK")
        return answer

    class Single(_MultiCallable):
        def __call__(self, request: Any, timeout: Any = None, metadata: Any = None, *args: Any, **kwargs: Any) -> Any:
            call, made, metadata = self._begun(metadata)
            return blocking(call, made, request, timeout, metadata, *args, **kwargs)

        def with_call(self, request: Any, timeout: Any = None, metadata: Any = None, *args: Any, **kwargs: Any) -> Any:
            call, made, metadata = self._begun(metadata)
            return blocking(call, made.with_call, request, timeout, metadata, *args, **kwargs)

        def future(self, request: Any, timeout: Any = None, metadata: Any = None, *args: Any, **kwargs: Any) -> Any:
            call, made, metadata = self._begun(metadata)
            return _watched(call, made.future, request, timeout, metadata, *args, **kwargs)

    class Streamed(_MultiCallable):
        def __call__(self, request: Any, timeout: Any = None, metadata: Any = None, *args: Any, **kwargs: Any) -> Any:
            call, made, metadata = self._begun(metadata)
            return _watched(call, made, request, timeout, metadata, *args, **kwargs)

    return {
        "unary_unary": type("UnaryUnary", (Single, grpc.UnaryUnaryMultiCallable), {}),
        "stream_unary": type("StreamUnary", (Single, grpc.StreamUnaryMultiCallable), {}),
        "unary_stream": type("UnaryStream", (Streamed, grpc.UnaryStreamMultiCallable), {}),
        "stream_stream": type("StreamStream", (Streamed, grpc.StreamStreamMultiCallable), {}),
    }


def _aio(grpc: ModuleType) -> dict[str, Any]:
    """Return the multi-callables of each shape for grpc.aio."""

    class Single(_MultiCallable):
        def __call__(self, *request: Any, metadata: Any = None, **kwargs: Any) -> Any:
            def ended(call: Outgoing, done: Any) -> None:
                # After the step in which the end was learned: only then has the answer been deserialized.
                asyncio.get_running_loop().call_soon(call.end, _code(done))

            return self._made(ended, request, metadata, kwargs)

        def _made(self, ended: Callable[[Outgoing, Any], object], request: Any, metadata: Any, kwargs: Any) -> Any:
            call, made, metadata = self._begun(metadata)
            if call is None:
                return made(*request, metadata=metadata, **kwargs)
            try:
                answer = made(*request, metadata=metadata, **kwargs)
            except BaseException as error:
                call.end("", error)
                raise
            answer.add_done_callback(functools.partial(ended, call))
            return answer

    class Streamed(Single):
        def __call__(self, *request: Any, metadata: Any = None, **kwargs: Any) -> Any:
            return self._made(lambda call, done: call.end(_code(done)), request, metadata, kwargs)

    return {
        "unary_unary": type("UnaryUnary", (Single, grpc.aio.UnaryUnaryMultiCallable), {}),
        "stream_unary": type("StreamUnary", (Single, grpc.aio.StreamUnaryMultiCallable), {}),
        "unary_stream": type("UnaryStream", (Streamed, grpc.aio.UnaryStreamMultiCallable), {}),
        "stream_stream": type("StreamStream", (Streamed, grpc.aio.StreamStreamMultiCallable), {}),
    }


def _code(done: Any) -> str:
    """Return the code of an ended call of grpc.aio, which only a coroutine reports."""
    asking = done.code()
    try:
        asking.send(None)
    except StopIteration as told:
        return str(told.value.name)
    except BaseException:
        return "CANCELLED"
    asking.close()
    return ""
