"""A service's HTTP listener as a backend: the HTTP rule of the method, applied on the caller's side."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from google.protobuf.message import Message

from mesh.calling.connections import Connections, connection_headers
from mesh.calling.timings import timed
from mesh.context import current_call, headers_of, timeout_text
from mesh.contract import Method, Reply
from mesh.contract.backends.backend import Frame, Headers, Metadata, Trailers
from mesh.contract.rest.client import HttpCall, http_call
from mesh.contract.rest.metadata import RESPONSE_METADATA, metadata_headers
from mesh.contract.rest.streaming import NDJSON
from mesh.contract.rest.transcoding import JSON
from mesh.errors import Code, StatusError
from mesh.topology.directory import Directory

if TYPE_CHECKING:
    from aiohttp import ClientResponse

#: Seconds in which a stream without a deadline must connect.
CONNECT_TIMEOUT = 5.0


class Unreached(StatusError):
    """Raised if the service gave no answer: the connection failed, time ran out, or another program listens there."""


class HttpTransport:
    def __init__(self, service: str, directory: Directory, connections: Connections) -> None:
        self._service = service
        self._directory = directory
        self._connections = connections

    async def unary(self, method: Method, request: Message, metadata: Metadata, timeout: float) -> Reply:
        """Return the message; raises StatusError with the service's answer, or Unreached."""
        asked = http_call(method, request)
        with timed(self._service, "http"):
            async with self._responding(asked, metadata, timeout) as response:
                content_type = response.headers.get("content-type", "")
                message = asked.answer(response.status, await response.read(), content_type)
                return Reply(message, _metadata(response))

    async def frames(
        self, method: Method, request: Message, metadata: Metadata, timeout: float | None
    ) -> AsyncGenerator[Frame, None]:
        """Yield the frames of a streamed answer; raises as `unary` does. timeout: of the whole stream."""
        asked = http_call(method, request)
        async with self._responding(asked, metadata, timeout) as response:
            content_type = response.headers.get("content-type", "")
            if response.status != 200:
                asked.answer(response.status, await response.read(), content_type)
            if not asked.is_raw and not content_type.startswith(NDJSON):
                raise self._foreign(response)
            yield Headers(_metadata(response))
            if asked.is_raw:
                async for chunk in response.content.iter_any():
                    yield asked.raw_message(chunk, content_type)
            else:
                async for line in _lines(response):
                    yield asked.streamed(line)
            yield Trailers(())

    @asynccontextmanager
    async def _responding(
        self, asked: HttpCall, metadata: Metadata, timeout: float | None
    ) -> AsyncIterator[ClientResponse]:
        """Yield the response once its headers have arrived; raises Unreached if none comes, or if it ends early."""
        address = self._directory.address(self._service, "http")
        if timeout is not None and timeout <= 0:  # aiohttp would read this as no limit
            raise Unreached(Code.DEADLINE_EXCEEDED, f"no time was left to call {address}")
        session = await self._connections.session()
        import aiohttp  # imported late, as in connections.py
        from yarl import URL

        origin = self._directory.origin(self._service)
        headers = [*_headers(asked, metadata, timeout), *connection_headers(origin)]
        limits = aiohttp.ClientTimeout(
            total=timeout, sock_connect=timeout or CONNECT_TIMEOUT, ceil_threshold=(timeout or 0) + 1
        )
        try:
            async with session.request(
                asked.http_method,
                URL(f"{origin}{asked.target}", encoded=True),
                ssl=False,  # a listener of this mesh, or one that speaks plain HTTP
                data=asked.body,
                headers=headers,
                timeout=limits,
                allow_redirects=False,
            ) as response:
                if response.status >= 400 and not response.headers.get("content-type", "").startswith(JSON):
                    raise self._foreign(response)
                yield response
        except TimeoutError:
            limit = CONNECT_TIMEOUT if timeout is None else timeout
            raise Unreached(Code.DEADLINE_EXCEEDED, f"{address} did not answer within {limit:.1f} s") from None
        except aiohttp.ClientError as error:
            raise Unreached(Code.UNAVAILABLE, f"{address}: {error}") from error

    def _foreign(self, response: ClientResponse) -> Unreached:
        address = self._directory.address(self._service, "http")
        content_type = response.headers.get("content-type", "no content")
        reason = f"{address} answered {response.status} with {content_type}: not this contract's REST API"
        return Unreached(Code.UNAVAILABLE, reason)


def _headers(asked: HttpCall, metadata: Metadata, timeout: float | None) -> list[tuple[str, str]]:
    headers = metadata_headers(metadata) + list(headers_of(current_call.get()).items())
    if timeout is not None:
        headers.append(("grpc-timeout", timeout_text(timeout)))
    if asked.body is not None:
        headers.append(("content-type", asked.content_type))
    return headers


def _metadata(response: ClientResponse) -> Metadata:
    return [(name.lower(), value) for name, value in response.headers.items() if name.lower() in RESPONSE_METADATA]


async def _lines(response: ClientResponse) -> AsyncIterator[bytes]:
    """Yield the lines that are not blank."""
    rest = b""
    async for chunk in response.content.iter_any():
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            if line and not line.isspace():
                yield line
    if rest and not rest.isspace():
        yield rest
