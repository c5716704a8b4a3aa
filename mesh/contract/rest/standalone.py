"""A contract's REST API as a standalone application, for any ASGI server.

    from mesh.contract import rest_app
    from greeter import Greeter            # a servicer, as grpc wants it

    app = rest_app(Greeter)                # uvicorn module:app

or in front of a server that runs elsewhere:

    app = rest_app(channel=lambda: grpc.aio.insecure_channel("greeter:50051"), services=["greeter.Greeter"])
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import grpc.aio
from google.protobuf import descriptor_pool
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mesh.contract.backends.backend import Backend, ChannelBackend
from mesh.contract.backends.inprocess import ServicerBackend
from mesh.contract.methods import Contract
from mesh.contract.rest.app import Transcoder
from mesh.contract.rest.exchange import BrokenStream, check_start, error_response, send_answer
from mesh.contract.servicers import collect_handlers
from mesh.contract.status import HandlerFailure
from mesh.errors import Code, StatusError, UsageError

log = logging.getLogger(__name__)


def rest_app(
    *servicers: Any,
    channel: Callable[[], grpc.aio.Channel] | None = None,
    services: Sequence[str] = (),
    **options: Any,
) -> ASGIApp:
    """Return an ASGI application for the google.api.http rules of servicers, or of services behind a channel.

    servicers: classes, objects, or functions that take a server. channel: makes the channel; called once, in the loop
    that serves. services: full names, of descriptors that are imported. options: Transcoder's.

    Raises UsageError for a service that is not known.
    """
    if (channel is None) == (not servicers):
        raise UsageError("rest_app takes either servicers or a channel with services=[…]")
    if channel is not None:
        contract, backend = Contract.of(map(_service, services)), _over(channel)
    else:
        handlers = collect_handlers(servicers)
        contract, backend = handlers.contract(), ServicerBackend(handlers.by_path)
    return guarded(Transcoder(contract, backend, **options))


def guarded(app: ASGIApp) -> ASGIApp:
    """Return the app with errors in its handlers logged, and answered as INTERNAL without details."""

    async def guard(scope: Scope, receive: Receive, send: Send) -> None:
        started = False

        async def watched(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                check_start(message)
            started = True
            await send(message)

        try:
            await app(scope, receive, watched)
        except BrokenStream:
            raise
        except Exception as error:
            log.exception("%s %s failed", scope.get("method"), scope.get("path"))
            if started:
                raise
            told = error if isinstance(error, HandlerFailure) else StatusError(Code.INTERNAL, "internal error")
            await send_answer(error_response(told), send)

    return guard


def _over(channel: Callable[[], grpc.aio.Channel]) -> Backend:
    return ChannelBackend(cache(channel))


def _service(name: str) -> Any:
    try:
        return descriptor_pool.Default().FindServiceByName(name)
    except KeyError:
        raise UsageError(f"no service {name} is known; import its generated module first") from None
