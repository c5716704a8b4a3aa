"""Values between a server and a contract: a request with its rule, a response, and ASGI's three callables."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from google.protobuf.message import Message
from msgspec import Struct
from starlette.types import Message as AsgiMessage
from starlette.types import Receive, Send

from mesh.contract.backends.backend import Metadata
from mesh.contract.rest.bodies import read_body
from mesh.contract.rest.metadata import Header
from mesh.contract.rest.transcoding import JSON, Endpoint, write_json
from mesh.contract.status import error_headers, status_json
from mesh.errors import StatusError

_NAME = re.compile(rb"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_NO_VALUE = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")


class BrokenStream(Exception):
    """Raised if a stream fails after its headers were sent: the connection must be cut, so that it looks incomplete."""


class Response(NamedTuple):
    """One whole HTTP answer."""

    status: int
    headers: list[Header]
    body: bytes = b""


class Asked(Struct):
    """A request whose rule is known.

    values: of the path's variables. query: raw. timeout: in seconds. head: the method is HEAD.
    """

    endpoint: Endpoint
    values: Sequence[str]
    query: str
    headers: Sequence[Header]
    metadata: Metadata
    timeout: float | None
    head: bool

    def header(self, name: bytes) -> bytes:
        """Return the last header of this name, stripped; empty if there is none."""
        return dict(self.headers).get(name, b"").strip()

    def request(self, body: bytes, *, first: bool = True) -> Message:
        """Return the message of one body; path and query apply to the first. Raises StatusError INVALID_ARGUMENT."""
        content_type = self.header(b"content-type").decode("latin-1") if self.endpoint.raw_body else ""
        values, query = (self.values, self.query) if first else (None, "")
        return self.endpoint.request(values, query, body, content_type)

    async def message(self, receive: Receive, limit: int) -> Message:
        """Return the message of the whole body, which is only read if the rule has one; raises StatusError."""
        return self.request(await read_body(self.headers, receive, limit) if self.endpoint.binding.body else b"")


def error_response(error: StatusError) -> Response:
    """Return the error as google.rpc.Status in JSON, with `Allow` or `Retry-After` where they apply."""
    body = write_json(status_json(error)).encode("utf-8", "replace")
    return Response(error.http_status, [(b"content-type", JSON.encode()), *error_headers(error)], body)


def check_start(message: AsgiMessage) -> None:
    """Raise ValueError or TypeError if `http.response.start` has a status or a header that HTTP cannot carry.

    A server would notice only while writing, and close the connection.
    """
    status = message["status"]
    if not isinstance(status, int) or not 100 <= status < 600:
        raise ValueError(f"the status {status!r} is not an HTTP status")
    for name, value in message.get("headers", ()):
        if not isinstance(name, bytes) or not isinstance(value, bytes):
            raise TypeError(f"the header {name!r}: {value!r} is not bytes, as ASGI requires")
        if not _NAME.fullmatch(name):
            raise ValueError(f"{name!r} is not a valid name of an HTTP header")
        if _NO_VALUE.search(value) or (name.lower() == b"content-length" and not value.isdigit()):
            raise ValueError(f"HTTP cannot carry the header {name.decode()}: {value!r}")


async def send_answer(answer: Response, send: Send, *, with_body: bool = True) -> None:
    headers = answer.headers
    if answer.status != 204:
        headers = [*headers, (b"content-length", str(len(answer.body)).encode())]
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "http.response.body", "body": answer.body if with_body else b""})
