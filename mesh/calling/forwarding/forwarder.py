"""Forwards HTTP requests and WebSockets to one address, and streams what comes back."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from mesh.calling.connections import connection_headers, current_connections
from mesh.calling.forwarding.websockets import forward_websocket
from mesh.calling.timings import timed
from mesh.context import current_call, headers_of, timeout_text
from mesh.contract.rest.incoming import Incoming, until_gone
from mesh.errors import Code, MeshError, StatusError
from mesh.service import outside_services

if TYPE_CHECKING:
    from aiohttp import ClientResponse, ClientSession
    from yarl import URL

#: Headers of one connection rather than of the message (RFC 9110, 7.6.1).
_HOP = frozenset({
    b"connection", b"keep-alive", b"proxy-authenticate", b"proxy-authorization", b"te", b"trailer",
    b"transfer-encoding", b"upgrade",
})  # fmt: skip
#: Headers that are replaced.
_OURS = frozenset({b"traceparent", b"grpc-timeout"})
FORWARDED = frozenset({b"x-forwarded-for", b"x-forwarded-host", b"x-forwarded-proto", b"x-forwarded-prefix"})
_PRINTABLE = "".join(map(chr, range(0x21, 0x7F)))


class Forwarder:
    """An ASGI application for requests and WebSockets. A server that cannot be reached is 503.

    service: the name of the server in errors and timings. seconds: that a request may take if its caller set no
    deadline; None for any time. replaced: names of headers that are not passed on, beside those of the connection.
    """

    seconds: float | None = None
    replaced: frozenset[bytes] = frozenset()

    def __init__(self, service: str) -> None:
        self.service = service

    def origin(self) -> str:
        """Return the URL of the server, without a path."""
        raise NotImplementedError

    def target(self, path: bytes) -> bytes:
        """Return the path of the request there."""
        return path

    def added(self, scope: Any) -> dict[str, str]:
        """Return headers of the request to add."""
        return {}

    def outer(self, name: bytes, value: bytes, inner: bytes) -> bytes:
        """Return a header of the answer as a client here needs it. inner: the server's origin."""
        return value

    def recorded(self) -> AbstractContextManager[object]:
        """Return what surrounds each request."""
        return timed(self.service, "http")

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        connections = current_connections()
        if connections is None:
            raise MeshError("requests are forwarded inside a service that mesh runs")
        session = await connections.session()
        if scope["type"] == "websocket":
            with self.recorded():
                await forward_websocket(session, self._url(scope), self._headers(scope), scope, receive, send)
            return
        incoming = Incoming(receive)
        # A client that leaves cancels the exchange, which closes the upstream connection: a partly received body is
        # not forwarded as a whole one.
        await until_gone(incoming, self._exchange(session, scope, incoming, send))

    async def _exchange(self, session: ClientSession, scope: Any, incoming: Incoming, send: Any) -> None:
        """Forward the request and the response."""
        import aiohttp  # imported late, as in connections.py

        has_body = any(name in (b"content-length", b"transfer-encoding") for name, _ in scope["headers"])
        with self.recorded():
            response = await self._ask(session, scope, incoming.chunks() if has_body else None)
        try:
            await send({"type": "http.response.start", "status": response.status, "headers": self._answered(response)})
            async for chunk in response.content.iter_any():
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
            await send({"type": "http.response.body", "body": b""})
        except (aiohttp.ClientError, TimeoutError):
            pass  # An incomplete response: returning without its end makes the server cut the connection.
        finally:
            response.close()

    def _answered(self, response: ClientResponse) -> list[tuple[bytes, bytes]]:
        """Return the answer's headers; what names a place on the server names the same place as it is reached here."""
        inner = str(response.url.origin()).encode()
        return [
            (name.lower(), self.outer(name.lower(), value, inner))
            for name, value in response.raw_headers
            if name.lower() not in _HOP
        ]

    def _url(self, scope: Any) -> URL:
        from yarl import URL

        target = ascii_text(self.target(scope["raw_path"]))
        query = "?" + ascii_text(scope["query_string"]) if scope["query_string"] else ""
        return URL(f"{self.origin()}{target}{query}", encoded=True)

    def _headers(self, scope: Any) -> list[tuple[str, str]]:
        left_out = _HOP | _OURS | self.replaced
        headers = [
            (name.decode("latin-1"), value.decode("latin-1"))
            for name, value in scope["headers"]
            if name not in left_out
        ]
        return [*headers, *self.added(scope).items(), *headers_of(current_call.get()).items()]

    async def _ask(self, session: ClientSession, scope: Any, body: AsyncIterator[bytes] | None) -> ClientResponse:
        """Return the response once its headers have arrived; raises StatusError if none comes."""
        import aiohttp

        call = current_call.get()
        remaining = call.remaining() if call else None
        seconds = self.seconds if remaining is None else remaining
        if seconds == 0:  # aiohttp would read this as no limit
            raise StatusError(Code.DEADLINE_EXCEEDED, f"the deadline had passed before {self.service} was called")
        deadline = [] if seconds is None else [("grpc-timeout", timeout_text(seconds))]
        url = self._url(scope)
        try:
            return await session.request(
                scope["method"],
                url,
                headers=[*self._headers(scope), *connection_headers(str(url)), *deadline],
                data=body,
                ssl=False,  # a server in this process, or one that speaks plain HTTP
                timeout=aiohttp.ClientTimeout(
                    remaining, sock_connect=seconds, sock_read=seconds, ceil_threshold=(seconds or 0) + 1
                ),
                allow_redirects=False,
            )
        except TimeoutError:
            reason = f"{self.service} did not answer within {seconds:.1f} s (http {url.authority})"
            raise StatusError(Code.DEADLINE_EXCEEDED, reason) from None
        except aiohttp.ClientError as error:
            raise StatusError(
                Code.UNAVAILABLE, f"{self.service} is unavailable: http {url.authority}: {error}"
            ) from error


class OwnServer(Forwarder):
    """Forwards what a service receives, unchanged and without a time limit, to a server that its program runs."""

    def __init__(self, service: str, origin: str) -> None:
        super().__init__(service)
        self._origin = origin

    def origin(self) -> str:
        return self._origin

    def recorded(self) -> AbstractContextManager[object]:
        """Leave the request out of the record: it is a part of the one that the listener got."""
        return outside_services()


def ascii_text(part: bytes) -> str:
    """Return the part of a target byte for byte, with what must not stand in one escaped."""
    return quote(part, safe=_PRINTABLE)
