"""Checks that all services of the store make of their input."""

from __future__ import annotations

from mesh import Code, StatusError

#: Ids are int32 in the protos, so that JSON prints them as numbers.
MAX_ID = 2**31 - 1


def required_text(field: str, value: str) -> str:
    """Return the value; raises INVALID_ARGUMENT naming the field if it is empty or blank."""
    if not value.strip():
        raise StatusError(Code.INVALID_ARGUMENT, f"{field} is required")
    return value


def whole_number(field: str, value: object, least: int = -(2**31)) -> int:
    """Return the value; raises INVALID_ARGUMENT naming the field if it is not an integer from `least` to MAX_ID."""
    if value is None:
        raise StatusError(Code.INVALID_ARGUMENT, f"{field} is required")
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= MAX_ID:
        raise StatusError(
            Code.INVALID_ARGUMENT, f"{field}: {value!r:.40} is not a whole number from {least} to {MAX_ID}"
        )
    return value
