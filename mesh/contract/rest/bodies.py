"""Reads request bodies: counted as they arrive, and unpacked within the same limit."""

from __future__ import annotations

import zlib
from collections.abc import Iterable

from starlette.types import Receive

from mesh.contract.protojson.body import too_large
from mesh.contract.rest.metadata import Header
from mesh.errors import Code, StatusError


async def read_body(headers: Iterable[Header], receive: Receive, limit: int) -> bytes:
    """Return the whole body, unpacked.

    limit: in bytes. Raises StatusError: 413 over it, before reading if the length is announced; 415 for an encoding
    other than gzip; CANCELLED if the client leaves before the end.
    """
    encoding = b""
    for name, value in headers:
        if name == b"content-length":
            if value.isdigit() and int(value[:20]) > limit:
                raise too_large(limit)
        elif name == b"content-encoding":
            encoding = value.strip().lower()
    if encoding not in (b"", b"identity", b"gzip", b"x-gzip"):
        raise unsupported(encoding)
    body = await _received(receive, limit)
    return gunzip(body, limit) if encoding.endswith(b"gzip") else body


def unsupported(encoding: bytes) -> StatusError:
    name = encoding.decode("latin-1")
    return StatusError(
        Code.INVALID_ARGUMENT, f"the Content-Encoding {name!r} is not supported; send gzip or none", http_status=415
    )


def gunzip(body: bytes, limit: int) -> bytes:
    """Unpack gzip of one or more members; raises StatusError if it is invalid, or larger than `limit` bytes."""
    plain = bytearray()
    try:
        while body:
            member = zlib.decompressobj(wbits=16 + zlib.MAX_WBITS)
            plain += member.decompress(body, limit + 1 - len(plain))
            if len(plain) > limit:
                raise too_large(limit)
            if not member.eof:
                raise zlib.error
            body = member.unused_data
    except zlib.error:
        raise StatusError(Code.INVALID_ARGUMENT, "the body is not gzip, though its Content-Encoding says so") from None
    return bytes(plain)


async def _received(receive: Receive, limit: int) -> bytes:
    message = await receive()
    if message["type"] == "http.request" and not message.get("more_body"):
        body: bytes = message.get("body", b"")
        _within(limit, body)
        return body
    chunks = bytearray()
    while message["type"] == "http.request":
        chunks += message.get("body", b"")
        _within(limit, chunks)
        if not message.get("more_body"):
            return bytes(chunks)
        message = await receive()
    raise StatusError(Code.CANCELLED, "the client left before the end of its body")


def _within(limit: int, body: bytes | bytearray) -> None:
    if len(body) > limit:
        raise too_large(limit)
