"""Errors in gRPC: code, text and details, within what metadata can carry."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import grpc

from mesh.contract.status import DETAILS_KEY, status_bytes
from mesh.errors import StatusError

CODES = {int(code.value[0]): code for code in grpc.StatusCode}

#: Bytes of trailing metadata. Beyond 8 KiB gRPC may end the call with a different status.
MAX_TRAILERS = 7 * 1024
#: What HPACK counts for each entry beside its name and its value.
_ENTRY = 32
_CUT = "..."

Metadata = tuple[tuple[str, str | bytes], ...]


class ErrorTrailers(NamedTuple):
    """The end of a call that failed, as a server's context takes it."""

    code: grpc.StatusCode
    message: str
    metadata: Metadata


def trailers_of(error: StatusError, own: Iterable[tuple[str, str | bytes]]) -> ErrorTrailers:
    """Return the error as trailers, with the metadata that the handler has set itself.

    A text that is too long for them is cut, and details that do not fit beside it are left out.
    """
    own = tuple((key, value) for key, value in own if not (error.details and key == DETAILS_KEY))
    room = room_beside(own)
    message = cut(error.message, room // 2 if error.details else room)
    packed = ((DETAILS_KEY, status_bytes(error, message)),) if error.details else ()
    if _text_size(message) + sum(map(_size, packed)) > room:
        packed = ()
    return ErrorTrailers(CODES[error.code], message, (*own, *packed))


def room_beside(metadata: Iterable[tuple[str, str | bytes]]) -> int:
    """Return the bytes of trailers that are left for the text of an error beside this metadata."""
    return MAX_TRAILERS - sum(map(_size, metadata))


def cut(text: str, room: int = MAX_TRAILERS) -> str:
    """Return the text, or as much of it as `room` bytes of metadata hold; invalid Unicode is replaced."""
    text = text.encode("utf-8", "replace").decode()
    if _text_size(text) <= room:
        return text
    room -= len(_CUT)
    size = 0
    for index, character in enumerate(text):
        size += _text_size(character)
        if size > room:
            return text[:index] + _CUT
    return text


def _text_size(text: str) -> int:
    """Return the bytes of a text in grpc-message, where all but printable ASCII is percent-encoded."""
    return sum(1 if 0x20 <= byte <= 0x7E and byte != 0x25 else 3 for byte in text.encode())


def _size(entry: tuple[str, str | bytes]) -> int:
    key, value = entry
    return _ENTRY + len(key) + (len(value) if isinstance(value, str) else len(value) * 4 // 3 + 4)
