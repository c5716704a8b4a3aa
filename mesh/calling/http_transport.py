"""A service's HTTP listener as a backend: the rule of the method, read from the caller's side."""

from __future__ import annotations

from google.protobuf.message import Message

from mesh.calling.connections import Connections
from mesh.calling.timings import timed
from mesh.context import current_call, headers_of, timeout_text
from mesh.contract import Method, Reply
from mesh.contract.backends.backend import Metadata
from mesh.contract.rest.client import HttpCall, http_call
from mesh.contract.rest.transcoding import JSON
from mesh.errors import Code, StatusError
from mesh.topology.directory import Directory
from mesh.topology.model import Address


class Unreached(StatusError):
    """No answer of the service came: the connection failed, time ran out, or something else listens there."""


class HttpTransport:
    def __init__(self, service: str, directory: Directory, connections: Connections) -> None:
        self._service = service
        self._directory = directory
        self._connections = connections

    async def unary(self, method: Method, request: Message, metadata: Metadata, timeout: float) -> Reply:
        """The message, StatusError with the service's answer, or Unreached."""
        address = self._directory.address(self._service, "http")
        if timeout <= 0:  # which aiohttp would take for no limit
            raise Unreached(Code.DEADLINE_EXCEEDED, f"no time was left to ask {address}")
        asked = http_call(method, request)
        headers = {name: value for name, value in metadata if isinstance(value, str)}
        headers |= headers_of(current_call.get()) | {"grpc-timeout": timeout_text(timeout)}
        with timed(self._service, "http"):
            status, content_type, body = await self._exchange(address, asked, headers, timeout)
            if status >= 400 and not content_type.startswith(JSON):
                reason = f"{address} answered {status} with {content_type or 'no content'}: not this contract's REST"
                raise Unreached(Code.UNAVAILABLE, reason)
            return Reply(asked.answer(status, body, content_type))

    async def _exchange(
        self, address: Address, asked: HttpCall, headers: dict[str, str], timeout: float
    ) -> tuple[int, str, bytes]:
        session = await self._connections.session()
        import aiohttp  # late, as in connections.py
        from yarl import URL

        if asked.body is not None:
            headers["content-type"] = asked.content_type
        try:
            async with session.request(
                asked.http_method,
                URL(f"http://{address}{asked.target}", encoded=True),
                data=asked.body,
                headers=headers,
                timeout=aiohttp.ClientTimeout(total=timeout, ceil_threshold=timeout + 1),
                allow_redirects=False,
            ) as response:
                return response.status, response.headers.get("content-type", ""), await response.read()
        except TimeoutError:
            raise Unreached(Code.DEADLINE_EXCEEDED, f"{address} did not answer within {timeout:.1f} s") from None
        except aiohttp.ClientError as error:
            raise Unreached(Code.UNAVAILABLE, f"{address}: {error}") from error
