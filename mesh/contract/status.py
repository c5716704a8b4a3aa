"""StatusError to google.rpc.Status as JSON, and back."""

from __future__ import annotations

import base64
import binascii
import json
import math
from collections.abc import Iterable, Sequence
from typing import Any

from google.protobuf import any_pb2, descriptor_pool, duration_pb2, json_format, message_factory
from google.protobuf.message import DecodeError, Message
from google.rpc import error_details_pb2, status_pb2

from mesh.contract.http_rules.router import NotAllowed
from mesh.contract.protojson.messages import to_json
from mesh.errors import Code, StatusError, code_of_status

#: The metadata key under which gRPC carries a google.rpc.Status.
DETAILS_KEY = "grpc-status-details-bin"

_TYPE_PREFIX = "type.googleapis.com/"
# Imported for its side effect: it adds the standard details to the default pool.
_RETRY_INFO = error_details_pb2.RetryInfo.DESCRIPTOR.full_name


class HandlerFailure(StatusError):
    """Raised for a handler that set a code in its context and then raised another exception, which is the cause.

    The caller gets the code and the details that were set; the cause is logged as a failure.
    """


def status_json(error: StatusError) -> dict[str, Any]:
    """Return `{"code": 5, "message": "…", "details": […]}`; an unknown detail is kept as base64."""
    return {"code": int(error.code), "message": error.message, "details": [_detail_json(d) for d in error.details]}


def error_headers(error: StatusError) -> list[tuple[bytes, bytes]]:
    """Return `Allow` with 405; `Retry-After` with 429 and 503, in seconds: a RetryInfo's delay rounded up, else 1."""
    if isinstance(error, NotAllowed):
        return [(b"allow", ", ".join(error.allow).encode())]
    if error.http_status in (429, 503):
        return [(b"retry-after", str(_retry_seconds(error.details)).encode())]
    return []


def error_of_json(status: int, body: bytes) -> StatusError:
    """Return the StatusError of an HTTP answer, whether or not its body is a google.rpc.Status."""
    try:
        content = json.loads(body)
        code, message = Code(content["code"]), content["message"]
        details = [detail for each in content.get("details", []) if (detail := _detail_of_json(each)) is not None]
        if code is Code.OK or not isinstance(message, str):
            raise ValueError
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        # An unexpected status below 400, such as a redirect, does not answer a call.
        code = code_of_status(status) if status >= 400 else Code.UNKNOWN
        return StatusError(code, f"HTTP status {status}", http_status=status)
    return StatusError(code, message, details, http_status=status)


def details_of_metadata(metadata: Iterable[tuple[str, str | bytes]]) -> list[Message]:
    """Return the details in trailing metadata; empty if there are none or they are invalid."""
    for key, value in metadata:
        if key == DETAILS_KEY and isinstance(value, bytes):
            try:
                return [_unpacked(each) for each in status_pb2.Status.FromString(value).details]
            except DecodeError:
                return []
    return []


def status_bytes(error: StatusError, message: str | None = None) -> bytes:
    """Return the error as a serialized google.rpc.Status, as gRPC carries it under DETAILS_KEY.

    message: used instead of the error's own.
    """
    status = status_pb2.Status(code=int(error.code), message=error.message if message is None else message)
    for detail in error.details:
        if isinstance(detail, any_pb2.Any):
            status.details.append(detail)
        else:
            status.details.add().Pack(detail)
    return bytes(status.SerializeToString())


def _retry_seconds(details: Sequence[Message]) -> int:
    for detail in details:
        if detail.DESCRIPTOR.full_name == _RETRY_INFO:
            delay: duration_pb2.Duration = detail.retry_delay  # type: ignore[attr-defined]  # by its full name
            return max(0, math.ceil(delay.seconds + delay.nanos / 1e9))
    return 1


def _unpacked(packed: any_pb2.Any) -> Message:
    try:
        found = descriptor_pool.Default().FindMessageTypeByName(packed.TypeName())
        return message_factory.GetMessageClass(found).FromString(packed.value)
    except (KeyError, DecodeError):
        return packed


def _detail_json(detail: Message) -> dict[str, Any]:
    if isinstance(detail, any_pb2.Any):
        return {"@type": detail.type_url, "value": base64.b64encode(detail.value).decode()}
    name = detail.DESCRIPTOR.full_name
    content = to_json(detail, descriptor_pool.Default())
    # Types with their own JSON form are written under "value", as in google.protobuf.Any.
    own_form = name.startswith("google.protobuf.") and name != "google.protobuf.Empty"
    return {"@type": _TYPE_PREFIX + name, **({"value": content} if own_form else content)}


def _detail_of_json(content: dict[str, Any]) -> Message | None:
    try:
        packed = json_format.ParseDict(content, any_pb2.Any())
        return _unpacked(packed)
    except Exception:
        # A type that this side does not know: keep what was sent as bytes.
        try:
            return any_pb2.Any(type_url=content["@type"], value=base64.b64decode(content["value"], validate=True))
        except (KeyError, TypeError, binascii.Error):
            return None
