"""HTTP headers as gRPC metadata and back, by lists of what is passed."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterable

from mesh.contract.backends.backend import Metadata
from mesh.errors import Code, StatusError

Header = tuple[bytes, bytes]

#: Passed on as metadata of the same name.
REQUEST_HEADERS = frozenset(
    {
        "accept-language",
        "authorization",
        "idempotency-key",
        "traceparent",
        "tracestate",
        "x-forwarded-for",
        "x-request-id",
    }
)
#: `grpc-metadata-NAME: value` is passed on as NAME; if NAME ends in `-bin`, the value is base64.
PREFIX = "grpc-metadata-"
#: Initial and trailing metadata passed on as headers of the same name.
RESPONSE_METADATA = frozenset(
    {
        "cache-control",
        "content-language",
        "etag",
        "expires",
        "last-modified",
        "link",
        "retry-after",
        "server-timing",
        "vary",
        "www-authenticate",
        "x-request-id",
    }
)

_PASSED = frozenset(name.encode() for name in REQUEST_HEADERS)
_PREFIX = PREFIX.encode()
_NAME = re.compile(r"[0-9a-z_.\-]+", re.ASCII)
_VALUE = re.compile(r"[\x20-\x7e]*", re.ASCII)


def request_metadata(headers: Iterable[Header]) -> Metadata:
    """Return the metadata of a request; raises StatusError INVALID_ARGUMENT for a value it cannot carry."""
    return tuple(
        _entry(name.decode("latin-1"), value.decode("latin-1").strip())
        for name, value in headers
        if name in _PASSED or (name.startswith(_PREFIX) and not name.startswith(_PREFIX + b"grpc-"))
    )


def response_headers(metadata: Iterable[tuple[str, str | bytes]]) -> list[Header]:
    """Return the headers allowed in a response; a value that would break a header is left out."""
    return [
        (name.encode(), value.encode())
        for name, value in metadata
        if name in RESPONSE_METADATA and isinstance(value, str) and _VALUE.fullmatch(value)
    ]


def metadata_headers(metadata: Iterable[tuple[str, str | bytes]]) -> list[tuple[str, str]]:
    """Return the request headers that `request_metadata` reads as this metadata."""
    return [
        (
            name if name in REQUEST_HEADERS else PREFIX + name,
            base64.b64encode(value).decode() if isinstance(value, bytes) else value,
        )
        for name, value in metadata
    ]


def _entry(header: str, value: str) -> tuple[str, str | bytes]:
    name = header.removeprefix(PREFIX)
    if not _NAME.fullmatch(name):
        raise _unfit(header, "is not a valid name of gRPC metadata")
    if name.endswith("-bin"):
        try:
            return name, base64.b64decode(value + "=" * (-len(value) % 4), validate=True)
        except (binascii.Error, ValueError):
            raise _unfit(header, "is not base64") from None
    if not _VALUE.fullmatch(value):
        raise _unfit(header, "holds characters outside printable ASCII")
    return name, value


def _unfit(header: str, reason: str) -> StatusError:
    return StatusError(Code.INVALID_ARGUMENT, f"the header {header} {reason}")
