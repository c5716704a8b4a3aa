"""The ASGI application an HTTP server calls: the layers around whatever is behind the dispatcher at the moment."""

from __future__ import annotations

import asyncio

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mesh.context import Call, call_from
from mesh.contract.rest.exchange import BrokenStream, check_start, error_response, send_answer
from mesh.errors import Code, StatusError
from mesh.layers import STOPPED, Outcome, in_time, inbound, status_of
from mesh.service import ServiceContext
from mesh.serving.http.cross_site import CrossSiteGuard

_CARRIED = frozenset({b"traceparent", b"idempotency-key", b"grpc-timeout"})


class AppDispatcher:
    """Stays while what is behind it changes: application and service are looked up at every request.

    guard: refuses what pages of other sites send; None where every client is welcome.
    stopping: the server is about to cancel the requests that have not been answered within the grace.
    """

    guard: CrossSiteGuard | None = None

    def __init__(self, service: ServiceContext) -> None:
        self.stopping = False
        self._behind = (closed(f"{service.name} is starting"), service)

    def serve(self, app: ASGIApp, service: ServiceContext) -> None:
        """Puts this application in the place of the one so far; requests in flight end on what they began with."""
        self._behind = (app, service)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            return
        try:
            call = call_from(call_headers(scope))
        except ValueError as error:
            refusal = StatusError(Code.INVALID_ARGUMENT, str(error))
            await send_answer(error_response(refusal), send)
            return
        call.received = scope["headers"]
        name = f"{scope.get('method', 'WS')} {scope['path']}"
        app, service = self._behind
        with inbound(service, "http", name, call) as answer:
            await self._answer(app, service, scope, receive, send, call, answer)

    async def _answer(
        self,
        app: ASGIApp,
        service: ServiceContext,
        scope: Scope,
        receive: Receive,
        send: Send,
        call: Call,
        answer: Outcome,
    ) -> None:
        async def observed(message: Message) -> None:
            if message["type"] == "http.response.start":
                check_start(message)
                answer.status = str(message["status"])
                if call.timings:
                    value = ", ".join(map(str, call.timings)).encode()
                    message["headers"] = [*message.get("headers", ()), (b"server-timing", value)]
            elif message["type"] == "websocket.accept":
                answer.status = "101"
            await send(message)

        try:
            in_time(call)
            if self.guard is not None and (refused := await self.guard.refusal(app, service, scope)) is not None:
                if scope["type"] == "http":
                    raise refused
                answer.status = "403"
                await send({"type": "websocket.close"})  # before it is accepted: the upgrade is answered with 403
                return
            await app(scope, receive, observed)
        except (asyncio.CancelledError, GeneratorExit):
            if self.stopping and not answer.status and scope["type"] == "http":
                await send_answer(error_response(StatusError(Code.UNAVAILABLE, STOPPED)), observed)
                return
            answer.status = answer.status or "499"
            raise
        except BrokenStream:
            return  # The handler has said why; returning now makes the server cut the connection, as it must.
        except BaseException as error:  # A SystemExit that reached the loop would end the whole service.
            refusal = status_of(error, service, call)
            if not answer.status and scope["type"] == "http":
                await send_answer(error_response(refusal), observed)
            # Otherwise half an answer is out: returning now makes the server cut the connection, as it must.


def call_headers(scope: Scope) -> dict[str, str]:
    """The headers that belong to the call in hand."""
    return {name.decode(): value.decode("latin-1") for name, value in scope["headers"] if name in _CARRIED}


def closed(reason: str) -> ASGIApp:
    """An application that answers everything with UNAVAILABLE and the reason."""

    async def unavailable(scope: Scope, receive: Receive, send: Send) -> None:
        raise StatusError(Code.UNAVAILABLE, reason)

    return unavailable
