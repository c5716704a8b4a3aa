"""Records calls through httpx, sync and async, at its transports."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable, Iterator
from types import ModuleType
from typing import Any

from mesh.hosting.clients.destinations import Destinations
from mesh.hosting.patches import Patches
from mesh.observing.outgoing import Outgoing

_PORTS = {"http": 80, "https": 443}


def record_httpx(httpx: ModuleType, patches: Patches, destinations: Destinations) -> None:
    """Record the requests of `HTTPTransport` and `AsyncHTTPTransport`."""
    handle, handle_async = httpx.HTTPTransport.handle_request, httpx.AsyncHTTPTransport.handle_async_request
    noted, noted_async = _noted(httpx), _noted_async(httpx)

    def handle_request(self: Any, request: Any) -> Any:
        if (call := _begin(httpx, destinations, request)) is None:
            return handle(self, request)
        try:
            response = handle(self, request)
        except BaseException as error:
            call.end("", error)
            raise
        _note_head(call, response)
        response.stream = noted(response.stream, call)
        return response

    async def handle_async_request(self: Any, request: Any) -> Any:
        if (call := _begin(httpx, destinations, request)) is None:
            return await handle_async(self, request)
        try:
            response = await handle_async(self, request)
        except BaseException as error:
            call.end("", error)
            raise
        _note_head(call, response)
        response.stream = noted_async(response.stream, call)
        return response

    patches.replace(httpx.HTTPTransport, "handle_request", handle_request)
    patches.replace(httpx.AsyncHTTPTransport, "handle_async_request", handle_async_request)


def _begin(httpx: ModuleType, destinations: Destinations, request: Any) -> Outgoing | None:
    url = request.url
    port = url.port or _PORTS.get(url.scheme, 0)
    target = url.raw_path.decode("latin-1")
    given = request.headers.get("traceparent")
    call = destinations.begin("http", request.method, target, url.host, port, given)
    if call is not None:
        request.headers["traceparent"] = call.traceparent
        call.span.request_type = request.headers.get("content-type", "")
        with contextlib.suppress(httpx.RequestNotRead):  # One that is sent while it is generated.
            call.span.add_request(request.content)
    return call


def _note_head(call: Outgoing, response: Any) -> None:
    call.span.status = str(response.status_code)
    call.span.response_type = response.headers.get("content-type", "")


def _noted(httpx: ModuleType) -> Callable[[Any, Outgoing], Any]:
    """Return a class of response streams, of the httpx that was imported; reading one records it."""

    class Noted(httpx.SyncByteStream):  # type: ignore[misc, name-defined]  # of the httpx that was imported
        def __init__(self, stream: Any, call: Outgoing) -> None:
            self._stream, self._call = stream, call

        def __iter__(self) -> Iterator[bytes]:
            for chunk in self._stream:
                self._call.span.add_response(chunk)
                yield chunk

        def close(self) -> None:
            self._stream.close()
            self._call.end(self._call.span.status)

    return Noted


def _noted_async(httpx: ModuleType) -> Callable[[Any, Outgoing], Any]:
    """Return the class for asynchronous streams; see _noted."""

    class NotedAsync(httpx.AsyncByteStream):  # type: ignore[misc, name-defined]  # as above
        def __init__(self, stream: Any, call: Outgoing) -> None:
            self._stream, self._call = stream, call

        async def __aiter__(self) -> AsyncIterator[bytes]:
            async for chunk in self._stream:
                self._call.span.add_response(chunk)
                yield chunk

        async def aclose(self) -> None:
            await self._stream.aclose()
            self._call.end(self._call.span.status)

    return NotedAsync
