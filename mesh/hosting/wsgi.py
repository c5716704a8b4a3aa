"""A WSGI application as an ASGI one, which notices that its client has left.

a2wsgi runs the application in threads and passes its answer on. It requests the next chunk without limit when no one
reads them, and takes an aborted upload for a complete one; both are corrected here, around it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

#: Requests that an application answers at once; others wait. A thread is started when needed.
WORKERS = 100
_CLIENT = "mesh.client"


class ClientLeft(ConnectionResetError):
    """Raised in the application when it reads or writes after its client has closed the connection."""

    def __init__(self) -> None:
        super().__init__("the client closed the connection")


def asgi_of(wsgi: Callable[..., Any]) -> ASGIApp:
    """Return the ASGI application; its lifespan only ends its threads."""
    from a2wsgi import WSGIMiddleware

    middleware: Any = WSGIMiddleware(_until_left(wsgi), workers=WORKERS)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            client = _Client(receive, send)
            await client.answered_by(middleware, {**scope, _CLIENT: client})
            return
        await middleware(scope, receive, send)
        if scope["type"] == "lifespan":
            # Its threads would stay until the garbage is collected.
            middleware.executor.shutdown(wait=False)

    return app


class _Client:
    """The client of one request; reads one message ahead of the application, to see it leave during the answer."""

    def __init__(self, receive: Receive, send: Send) -> None:
        self.has_left = False
        self._receive, self._send = receive, send
        self._messages: asyncio.Queue[Message] = asyncio.Queue(1)
        self._reading: asyncio.Task[None] | None = None

    async def answered_by(self, middleware: Any, scope: Scope) -> None:
        try:
            await middleware(scope, self.receive, self.send)
        except ClientLeft:
            return
        finally:
            # Also when a stop cuts the answer: its thread, which cannot be cancelled, ends after this chunk.
            self.has_left = True
            if self._reading is not None:
                self._reading.cancel()

    def check(self) -> None:
        """Raise ClientLeft if the answer is no longer read."""
        if self.has_left:
            raise ClientLeft

    async def receive(self) -> Message:
        self._read_ahead()
        if self._messages.empty():
            self.check()
        message = await self._messages.get()
        if message["type"] == "http.disconnect":
            raise ClientLeft
        return message

    async def send(self, message: Message) -> None:
        if not self.has_left:
            await self._send(message)
            # Not before: the first read asks a waiting client to send its body (100-continue).
            self._read_ahead()

    def _read_ahead(self) -> None:
        if self._reading is None:
            self._reading = asyncio.ensure_future(self._read())

    async def _read(self) -> None:
        while not self.has_left:
            message = await self._receive()
            self.has_left = message["type"] == "http.disconnect"
            await self._messages.put(message)


def _until_left(wsgi: Callable[..., Any]) -> Callable[..., Any]:
    """Return the application; its answer is aborted and closed after the chunk during which its client left."""

    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        client: _Client = environ["asgi.scope"][_CLIENT]

        def start(*args: Any) -> Callable[[bytes], None]:
            client.check()
            write = start_response(*args)

            def checked(chunk: bytes) -> None:
                client.check()
                write(chunk)

            return checked

        return _Chunks(wsgi(environ, start), client)

    return app


class _Chunks:
    """A WSGI application's answer; closed by a2wsgi however it ends."""

    def __init__(self, chunks: Any, client: _Client) -> None:
        self._chunks = chunks
        self._client = client

    def __iter__(self) -> Iterator[bytes]:
        for chunk in self._chunks:
            self._client.check()
            yield chunk
        self._client.check()  # a2wsgi sends the end of the answer next, to a loop that a stop may have closed

    def close(self) -> None:
        getattr(self._chunks, "close", lambda: None)()
