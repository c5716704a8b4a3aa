"""Streams over HTTP.

Answers: newline-delimited JSON in grpc-gateway's form, `{"result": …}` per line, and if the stream fails a last
line `{"error": {"code", "message", "details"}}`; for a client that accepts `text/event-stream`, Server-Sent Events, the
error being an event named `error`; google.api.HttpBody as raw bytes. A stream that fails never ends like a complete
one: BrokenStream has the server close the connection without the last chunk. An error before the first answer is an
ordinary HTTP error, if it comes within HEAD_START seconds: then the headers are sent, so that a quiet stream is seen to
be open.

Requests: newline-delimited JSON, a message per line; path and query fields apply to the first one, as in Envoy.

A slow reader slows the source: the next answer is requested when the last one is taken. A client that leaves cancels
the call.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from typing import Any

from google.protobuf.message import Message
from starlette.types import Receive, Send

from mesh.context import current_call
from mesh.contract.backends.backend import Backend
from mesh.contract.rest.bodies import unsupported
from mesh.contract.rest.exchange import Asked, BrokenStream, Response
from mesh.contract.rest.incoming import Incoming, until_gone
from mesh.contract.rest.transcoding import Endpoint, write_json
from mesh.contract.status import HandlerFailure, status_json
from mesh.errors import Code, StatusError

NDJSON = "application/x-ndjson"
EVENTS = "text/event-stream"
HEAD_START = 0.1


async def answer_stream(backend: Backend, asked: Asked, receive: Receive, send: Send, limit: int) -> Response | None:
    """Serve a call that streams in either direction; return None if the answer was a stream, which has been sent.

    limit: in bytes, of a line and of a whole body. Raises StatusError for an error before the first answer.
    """
    endpoint, method = asked.endpoint, asked.endpoint.method
    outgoing = StreamedResponse(send, endpoint, asked.header(b"accept").lower())
    if asked.head:
        return Response(200, [(b"content-type", outgoing.content_type.encode())])
    incoming = Incoming(receive)
    if method.client_streaming:
        requests = _requests(asked, incoming, limit)
    else:
        requests = _one(await asked.message(receive, limit))
    answers = backend.stream(method, requests, asked.metadata, asked.timeout)
    if method.server_streaming:
        try:
            await until_gone(incoming, outgoing.run(answers))
        except StatusError:
            if not outgoing.started:
                raise
        return None
    return await until_gone(incoming, _single(endpoint, answers))


async def _requests(asked: Asked, incoming: Incoming, limit: int) -> AsyncGenerator[Message, None]:
    """Yield the messages of a client that streams; for a rule without a body, the one of its path and query."""
    endpoint = asked.endpoint
    if not endpoint.binding.body:
        yield asked.request(b"")
        return
    if (encoding := asked.header(b"content-encoding").lower()) not in (b"", b"identity"):
        raise unsupported(encoding)
    first = True
    async for part in incoming.chunks() if endpoint.raw_body else incoming.lines(limit):
        yield asked.request(part, first=first)
        first = False


async def _one(request: Message) -> AsyncGenerator[Message, None]:
    yield request


async def _single(endpoint: Endpoint, answers: AsyncGenerator[Message, None]) -> Response:
    """Return the one answer to a stream of requests."""
    async with contextlib.aclosing(answers):
        async for answer in answers:
            content, content_type = endpoint.response(answer)
            return Response(200, [(b"content-type", content_type.encode())], content)
    raise StatusError(Code.INTERNAL, f"{endpoint.method} gave no answer")


class StreamedResponse:
    """One streamed HTTP answer, whose headers are sent with the first message, or alone if that takes long."""

    def __init__(self, send: Send, endpoint: Endpoint, accept: bytes) -> None:
        self._send = send
        self._endpoint = endpoint
        self._events = EVENTS.encode() in accept
        self.started = False
        self._lock = asyncio.Lock()

    @property
    def content_type(self) -> str:
        return EVENTS if self._events else NDJSON

    async def run(self, answers: AsyncGenerator[Message, None]) -> None:
        """Send every answer; raises a StatusError after the headers as BrokenStream, any other unchanged."""
        early = None if self._endpoint.raw_response else asyncio.ensure_future(self._start_early())
        try:
            async with contextlib.aclosing(answers):
                async for answer in answers:
                    await self._chunk(answer)
            await self._start(self.content_type)
            await self._body(b"", more=False)
        except Exception as error:
            if self.started:
                await self._say(error)
                if isinstance(error, StatusError) and not isinstance(error, HandlerFailure):
                    raise BrokenStream(str(error)) from error
            raise
        finally:
            if early is not None:
                early.cancel()

    async def _start_early(self) -> None:
        await asyncio.sleep(HEAD_START)
        await self._start(self.content_type)

    async def _start(self, content_type: str) -> None:
        async with self._lock:
            if not self.started:
                self.started = True
                headers = [(b"content-type", content_type.encode()), (b"cache-control", b"no-cache")]
                await self._send({"type": "http.response.start", "status": 200, "headers": headers})

    async def _chunk(self, answer: Message) -> None:
        if self._endpoint.raw_response:
            data, content_type = self._endpoint.response(answer)
            await self._start(content_type)
        else:
            data = self._frame("result", self._endpoint.response_json(answer))
            await self._start(self.content_type)
        await self._body(data)

    async def _say(self, error: Exception) -> None:
        """Send the error if the form of the stream allows one; of a bug, only where to find it."""
        if not self._endpoint.raw_response:
            await self._body(self._frame("error", status_json(error if isinstance(error, StatusError) else _bug())))

    def _frame(self, kind: str, content: Any) -> bytes:
        if self._events:
            name = "event: error\n" if kind == "error" else ""
            text = f"{name}data: {write_json(content)}\n\n"
        else:
            text = f'{{"{kind}":{write_json(content)}}}\n'
        return text.encode("utf-8", "replace")

    async def _body(self, data: bytes, *, more: bool = True) -> None:
        await self._send({"type": "http.response.body", "body": data, "more_body": more})


def _bug() -> StatusError:
    """Return the status of a bug, with the id under which mesh logs its traceback, if it runs the handler."""
    call = current_call.get()
    return StatusError(Code.INTERNAL, f"internal error (request {call.request_id})" if call else "internal error")
