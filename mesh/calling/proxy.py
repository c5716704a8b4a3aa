"""An ASGI application that forwards each request to another service over HTTP, and streams the response back."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from mesh.calling.connections import current_connections
from mesh.calling.timings import timed
from mesh.context import current_call, headers_of, timeout_text
from mesh.contract.rest.incoming import Incoming, until_gone
from mesh.errors import Code, MeshError, StatusError
from mesh.service import current_service
from mesh.topology.model import Address

if TYPE_CHECKING:
    from aiohttp import ClientResponse, ClientSession

#: Seconds a request may take if its caller set no deadline.
PROXY_TIMEOUT = 30.0

#: Headers of one connection rather than of the message (RFC 9110, 7.6.1), and those that we write ourselves.
_HOP = {
    b"connection", b"keep-alive", b"proxy-authenticate", b"proxy-authorization", b"te", b"trailer",
    b"transfer-encoding", b"upgrade",
}  # fmt: skip
_PRINTABLE = "".join(map(chr, range(0x21, 0x7F)))
_COOKIE_PATH = re.compile(rb"(;\s*path\s*=\s*)(/[^;]*)", re.IGNORECASE)
_FORWARDED = {b"host", b"x-forwarded-for", b"x-forwarded-host", b"x-forwarded-proto", b"x-forwarded-prefix"}
_OURS = {b"traceparent", b"grpc-timeout"} | _FORWARDED


def proxy(service: str, *, strip: str = "") -> Any:
    """Return an ASGI application, for Starlette's Route or Mount or on its own.

    service: the name of the service. strip: the start of the path that the service does not have, `/api` for
        `/api/users` here and `/users` there. The rest of the path and the query are forwarded byte for byte.
    """
    return Proxy(service, strip.encode())


class Proxy:
    """See `proxy`. A service that cannot be reached is 503, one that does not answer in time is 504."""

    def __init__(self, service: str, strip: bytes) -> None:
        self.service = service
        self.strip = strip

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        connections = current_connections()
        if connections is None:
            raise MeshError("proxy() works inside a service that mesh runs")
        session = await connections.session()
        incoming = Incoming(receive)
        # A client that leaves cancels the exchange, which closes the upstream connection: a partly received body is
        # not forwarded as a whole one.
        await until_gone(incoming, self._exchange(session, scope, incoming, send))

    async def _exchange(self, session: ClientSession, scope: Any, incoming: Incoming, send: Any) -> None:
        """Forward the request and the response."""
        import aiohttp  # imported late, as in connections.py

        address = current_service().directory.address(self.service, "http")
        has_body = any(name in (b"content-length", b"transfer-encoding") for name, _ in scope["headers"])
        with timed(self.service, "http"):
            response = await self._ask(session, address, scope, incoming.chunks() if has_body else None)
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
        """Return the answer's headers; what names a place on the service names the same place as it is reached here."""
        inner = str(response.url.origin()).encode()
        return [
            (name.lower(), self._outer(name.lower(), value, inner))
            for name, value in response.raw_headers
            if name.lower() not in _HOP
        ]

    def _outer(self, name: bytes, value: bytes, inner: bytes) -> bytes:
        """Map a Location on the service, and the Path of a cookie, to below the path it is reached by here."""
        if name in (b"location", b"content-location"):
            path = value.removeprefix(inner)
            return self.strip + path if path[:1] == b"/" and path[:2] != b"//" else value
        if name == b"set-cookie" and self.strip:
            return _COOKIE_PATH.sub(lambda found: found[1] + self.strip + found[2].rstrip(b"/"), value)
        return value

    def _forwarded(self, scope: Any) -> dict[str, str]:
        """Tell the service who called, and by which URL, as other reverse proxies do; it may make links of that."""
        headers = {name: value.decode("latin-1") for name, value in scope["headers"] if name in _FORWARDED}
        client = scope["client"][0] if scope.get("client") else ""
        return {
            "x-forwarded-for": headers.get(b"x-forwarded-for") or client,
            "x-forwarded-host": headers.get(b"x-forwarded-host") or headers.get(b"host", ""),
            "x-forwarded-proto": headers.get(b"x-forwarded-proto") or scope["scheme"],
            "x-forwarded-prefix": headers.get(b"x-forwarded-prefix", "") + _ascii(self.strip),
        }

    async def _ask(
        self, session: ClientSession, address: Address, scope: Any, body: AsyncIterator[bytes] | None
    ) -> ClientResponse:
        """Return the response once its headers have arrived; raises StatusError if none comes."""
        import aiohttp
        from yarl import URL

        target = _ascii(scope["raw_path"].removeprefix(self.strip))
        query = "?" + _ascii(scope["query_string"]) if scope["query_string"] else ""
        call = current_call.get()
        remaining = call.remaining() if call else None
        seconds = PROXY_TIMEOUT if remaining is None else remaining
        if not seconds:  # aiohttp would read this as no limit
            raise StatusError(Code.DEADLINE_EXCEEDED, f"the deadline had passed before {self.service} was called")
        try:
            return await session.request(
                scope["method"],
                URL(f"http://{address}{target}{query}", encoded=True),
                headers=[
                    *_headers(scope),
                    *self._forwarded(scope).items(),
                    *headers_of(call).items(),
                    ("grpc-timeout", timeout_text(seconds)),
                ],
                data=body,
                timeout=aiohttp.ClientTimeout(
                    remaining, sock_connect=seconds, sock_read=seconds, ceil_threshold=seconds + 1
                ),
                allow_redirects=False,
            )
        except TimeoutError:
            reason = f"{self.service} did not answer within {seconds:.1f} s (http {address})"
            raise StatusError(Code.DEADLINE_EXCEEDED, reason) from None
        except aiohttp.ClientError as error:
            raise StatusError(Code.UNAVAILABLE, f"{self.service} is unavailable: http {address}: {error}") from error


def _ascii(part: bytes) -> str:
    """Return the part of a target byte for byte, with what must not stand in one escaped."""
    return quote(part, safe=_PRINTABLE)


def _headers(scope: Any) -> list[tuple[str, str]]:
    return [
        (name.decode("latin-1"), value.decode("latin-1"))
        for name, value in scope["headers"]
        if name not in _HOP and name not in _OURS
    ]
