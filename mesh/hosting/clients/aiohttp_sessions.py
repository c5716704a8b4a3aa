"""Records calls through aiohttp with its tracing."""

from __future__ import annotations

import functools
from types import ModuleType
from typing import Any

from mesh.hosting.clients.destinations import Destinations
from mesh.hosting.patches import Patches


def record_aiohttp(aiohttp: ModuleType, patches: Patches, destinations: Destinations) -> None:
    """Give every session a trace configuration that records its requests up to the headers of the response."""
    init = aiohttp.ClientSession.__init__

    @functools.wraps(init)
    def traced(self: Any, *args: Any, **kwargs: Any) -> None:
        kwargs["trace_configs"] = [*(kwargs.get("trace_configs") or ()), config]
        init(self, *args, **kwargs)

    async def start(session: Any, context: Any, params: Any) -> None:
        context.call = None
        url = params.url
        given = params.headers.get("traceparent")
        call = destinations.begin("http", params.method, url.raw_path_qs, url.host or "", url.port or 0, given)
        if call is not None:
            params.headers["traceparent"] = call.traceparent
            call.span.request_type = params.headers.get("content-type", "")
            context.call = call

    async def sent(session: Any, context: Any, params: Any) -> None:
        if context.call is not None:
            context.call.span.add_request(params.chunk)

    async def end(session: Any, context: Any, params: Any) -> None:
        if context.call is not None:
            context.call.span.response_type = params.response.headers.get("content-type", "")
            context.call.end(str(params.response.status))

    async def fail(session: Any, context: Any, params: Any) -> None:
        if context.call is not None:
            context.call.end("", params.exception)

    config = aiohttp.TraceConfig()
    config.on_request_start.append(start)
    config.on_request_chunk_sent.append(sent)
    config.on_request_end.append(end)
    config.on_request_exception.append(fail)
    patches.replace(aiohttp.ClientSession, "__init__", traced)
