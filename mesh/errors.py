"""The exception classes, and the table between gRPC codes and HTTP statuses."""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from google.protobuf.message import Message


class Code(IntEnum):
    """The canonical codes of google.rpc.Code."""

    OK = 0
    CANCELLED = 1
    UNKNOWN = 2
    INVALID_ARGUMENT = 3
    DEADLINE_EXCEEDED = 4
    NOT_FOUND = 5
    ALREADY_EXISTS = 6
    PERMISSION_DENIED = 7
    RESOURCE_EXHAUSTED = 8
    FAILED_PRECONDITION = 9
    ABORTED = 10
    OUT_OF_RANGE = 11
    UNIMPLEMENTED = 12
    INTERNAL = 13
    UNAVAILABLE = 14
    DATA_LOSS = 15
    UNAUTHENTICATED = 16


#: The HTTP status of each code, as given in google/rpc/code.proto.
HTTP_STATUS: dict[Code, int] = {
    Code.OK: 200,
    Code.CANCELLED: 499,
    Code.UNKNOWN: 500,
    Code.INVALID_ARGUMENT: 400,
    Code.DEADLINE_EXCEEDED: 504,
    Code.NOT_FOUND: 404,
    Code.ALREADY_EXISTS: 409,
    Code.PERMISSION_DENIED: 403,
    Code.RESOURCE_EXHAUSTED: 429,
    Code.FAILED_PRECONDITION: 400,
    Code.ABORTED: 409,
    Code.OUT_OF_RANGE: 400,
    Code.UNIMPLEMENTED: 501,
    Code.INTERNAL: 500,
    Code.UNAVAILABLE: 503,
    Code.DATA_LOSS: 500,
    Code.UNAUTHENTICATED: 401,
}

#: The code of an HTTP answer without a google.rpc.Status; of several codes with one status, the least specific.
CODE_OF_STATUS: dict[int, Code] = {
    400: Code.INVALID_ARGUMENT,
    401: Code.UNAUTHENTICATED,
    403: Code.PERMISSION_DENIED,
    404: Code.NOT_FOUND,
    405: Code.UNIMPLEMENTED,
    408: Code.DEADLINE_EXCEEDED,
    409: Code.ABORTED,
    413: Code.INVALID_ARGUMENT,
    414: Code.INVALID_ARGUMENT,
    415: Code.INVALID_ARGUMENT,
    429: Code.RESOURCE_EXHAUSTED,
    431: Code.INVALID_ARGUMENT,
    499: Code.CANCELLED,
    500: Code.INTERNAL,
    501: Code.UNIMPLEMENTED,
    502: Code.UNAVAILABLE,
    503: Code.UNAVAILABLE,
    504: Code.DEADLINE_EXCEEDED,
}


def code_of_status(status: int) -> Code:
    """Return the code for an HTTP status; one that is not in the table counts by its class."""
    if status in CODE_OF_STATUS:
        return CODE_OF_STATUS[status]
    if status < 400:
        return Code.OK
    return Code.FAILED_PRECONDITION if status < 500 else Code.UNKNOWN


class MeshError(Exception):
    """Any error that mesh raises on purpose; its text is a sentence for the person at the terminal."""

    exit_status = 1


class UsageError(MeshError):
    """The user's mistake: an invalid name, value or file."""

    exit_status = 2


class StatusError(MeshError):
    """A call that ended with a code other than OK, on either side of it.

    A handler raises it to answer with that code; a caller gets it when the other side did. `details` are protobuf
    messages, carried as google.rpc.Status carries them. `http_status` differs from the table's only where HTTP is more
    precise than the code (405, 413, 415). `metadata` is the trailing metadata with which the other side ended the call.
    """

    def __init__(
        self,
        code: Code,
        message: str,
        details: Sequence[Message] = (),
        *,
        http_status: int | None = None,
        metadata: Sequence[tuple[str, str | bytes]] = (),
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.details = tuple(details)
        self.http_status = http_status or HTTP_STATUS[code]
        self.metadata = tuple(metadata)

    def __str__(self) -> str:
        return f"{self.code.name}: {self.message}"
