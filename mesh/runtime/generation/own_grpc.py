"""Handlers of a service that has another grpcio than mesh, as handlers of mesh's servers.

Requests and answers cross as bytes (serving/grpc/handlers.py). What is left are the context, its status codes, and the
exceptions by which grpc ends a call: a service gets and raises its own.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any, NamedTuple

import grpc
import grpc.aio
from msgspec.structs import replace

from mesh.contract.servicers import Handler, Handlers, behavior, is_async
from mesh.serving.grpc.status import CODES
from mesh.serving.mains.grpc_methods import with_behavior


class OwnGrpc:
    """grpc: the service's module of that name."""

    def __init__(self, grpc: ModuleType) -> None:
        self._grpc = grpc
        self._codes = {code.value[0]: code for code in grpc.StatusCode}
        self._sync_context = _context_class(grpc.ServicerContext, _OwnSyncContext)
        self._aio_context = _context_class(grpc.aio.ServicerContext, _OwnAioContext)

    def translated(self, handlers: Handlers) -> Handlers:
        """Return the handlers as mesh calls them."""
        return replace(
            handlers,
            by_path={path: self.handler(each) for path, each in handlers.by_path.items()},
            generic=tuple(_Generic(each, self) for each in handlers.generic),
        )

    def handler(self, handler: Handler) -> Handler:
        inner = behavior(handler)
        if inspect.isasyncgenfunction(inner):
            made = self._generating(inner)
        elif is_async(handler):
            made = self._coroutine(inner)
        elif handler.response_streaming:
            made = self._iterating(inner, handler.request_streaming)
        else:
            made = self._plain(inner, handler.request_streaming)
        return with_behavior(handler, functools.update_wrapper(made, inner))

    def _generating(self, inner: Callable[..., Any]) -> Callable[..., Any]:
        async def generating(request: Any, context: Any) -> AsyncIterator[Any]:
            with self._ending():
                async for answer in inner(request, self._aio_context(context, self)):
                    yield answer

        return generating

    def _coroutine(self, inner: Callable[..., Any]) -> Callable[..., Any]:
        async def coroutine(request: Any, context: Any) -> Any:
            with self._ending():
                return await inner(request, self._aio_context(context, self))

        return coroutine

    def _iterating(self, inner: Callable[..., Any], takes_stream: bool) -> Callable[..., Any]:
        def iterating(request: Any, context: Any) -> Iterator[Any]:
            with self._ending():
                given = self._requests(request) if takes_stream else request
                yield from inner(given, self._sync_context(context, self))

        return iterating

    def _plain(self, inner: Callable[..., Any], takes_stream: bool) -> Callable[..., Any]:
        def plain(request: Any, context: Any) -> Any:
            with self._ending():
                given = self._requests(request) if takes_stream else request
                return inner(given, self._sync_context(context, self))

        return plain

    def _requests(self, requests: Any) -> Iterator[Any]:
        try:
            yield from requests
        except grpc.RpcError as error:
            raise self._grpc.RpcError(str(error)) from error

    @contextmanager
    def _ending(self) -> Iterator[None]:
        """Raise mesh's exception instead of the one that the service got for it."""
        try:
            yield
        except (self._grpc.RpcError, self._grpc.aio.AbortError) as error:
            if isinstance(error.__cause__, grpc.RpcError | grpc.aio.AbortError):
                raise error.__cause__ from None
            raise

    def code_here(self, code: Any) -> Any:
        """Return a status code of the service as mesh's; anything else as it is."""
        return CODES[code.value[0]] if isinstance(code, self._grpc.StatusCode) else code

    def code_there(self, code: Any) -> Any:
        """Return a status code of mesh as the service's; anything else as it is."""
        return self._codes[code.value[0]] if isinstance(code, grpc.StatusCode) else code

    def eof_there(self, message: Any) -> Any:
        """Return the end of a stream as the service's; anything else as it is."""
        return self._grpc.aio.EOF if message is grpc.aio.EOF else message

    def abortion(self, error: grpc.aio.AbortError) -> BaseException:
        """Return the exception with which a coroutine of the service leaves a call that it ended."""
        made: BaseException = self._grpc.aio.AbortError(*error.args)
        return made


class _Generic(grpc.GenericRpcHandler):
    """A handler of the service that looks up its methods itself."""

    def __init__(self, generic: Any, own: OwnGrpc) -> None:
        self._generic = generic
        self._own = own

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Handler | None:
        found = self._generic.service(handler_call_details)
        return None if found is None else self._own.handler(found)


class _Status(NamedTuple):
    """A grpc.Status."""

    code: Any
    details: str
    trailing_metadata: Any


class _OwnContext:
    """Of a call, as the service sees it."""

    def __init__(self, context: Any, own: OwnGrpc) -> None:
        self._context = context
        self._own = own

    def __getattr__(self, name: str) -> Any:
        return getattr(self._context, name)

    def code(self) -> Any:
        return self._own.code_there(self._context.code())

    def set_code(self, code: Any) -> None:
        self._context.set_code(self._own.code_here(code))


class _OwnSyncContext(_OwnContext):
    def abort(self, code: Any, details: str) -> None:
        self._context.abort(self._own.code_here(code), details)

    def abort_with_status(self, status: Any) -> None:
        code = self._own.code_here(status.code)
        self._context.abort_with_status(_Status(code, status.details, status.trailing_metadata))


class _OwnAioContext(_OwnContext):
    async def read(self) -> Any:
        return self._own.eof_there(await self._context.read())

    async def abort(self, code: Any, details: str = "", trailing_metadata: Any = ()) -> None:
        try:
            await self._context.abort(self._own.code_here(code), details, trailing_metadata)
        except grpc.aio.AbortError as error:
            raise self._own.abortion(error) from error

    async def abort_with_status(self, status: Any) -> None:
        await self.abort(status.code, status.details, status.trailing_metadata or ())


def _context_class(base: Any, kind: type[_OwnContext]) -> Any:
    """Return a class of contexts that is one of `base`, the service's own, too."""

    def delegated(name: str) -> Callable[..., Any]:
        return lambda self, *args, **kwargs: getattr(self._context, name)(*args, **kwargs)

    names = {name for name in dir(base) if not name.startswith("_")} - set(dir(kind))
    return type("ServicerContext", (kind, base), {name: delegated(name) for name in names})
