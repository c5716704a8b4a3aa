"""What every service of the store asks of its input."""

from __future__ import annotations

from mesh import Code, StatusError

#: Ids are int32 in the protos, so that JSON prints them as numbers.
MAX_ID = 2**31 - 1


def required_text(field: str, value: str) -> str:
    """The value; INVALID_ARGUMENT naming the field when it is empty or blank."""
    if not value.strip():
        raise StatusError(Code.INVALID_ARGUMENT, f"{field} is required")
    return value


def whole_number(field: str, value: object, least: int = -(2**31)) -> int:
    """The value; INVALID_ARGUMENT naming the field when it is no integer from `least` to the largest id."""
    if value is None:
        raise StatusError(Code.INVALID_ARGUMENT, f"{field} is required")
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= MAX_ID:
        raise StatusError(
            Code.INVALID_ARGUMENT, f"{field}: {value!r:.40} is not a whole number from {least} to {MAX_ID}"
        )
    return value
