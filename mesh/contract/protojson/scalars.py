"""Checks one JSON value for a scalar field, more strictly than `json_format`."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from google.protobuf.descriptor import FieldDescriptor

from mesh.contract.protojson.fields import FLOATS, INTEGERS, enum_of, read_base64, shown, text_of

#: Returns for a value of the right shape; raises Mismatch for any other.
Check = Callable[[Any], None]

_INTEGRAL = re.compile(r"-?[0-9]{1,20}(?:\.0+)?(?:[eE][+-]?[0-9]{1,3})?", re.ASCII)


class Mismatch(ValueError):
    """Raised for a value of the wrong shape; its place grows from the inside out as it propagates."""

    def __init__(self, reason: str, place: str = "") -> None:
        super().__init__(reason)
        self.reason = reason
        self.place = place

    def within(self, outer: str) -> Mismatch:
        inner = f".{self.place}" if self.place and self.place[0] != "[" else self.place
        return Mismatch(self.reason, outer + inner)

    def __str__(self) -> str:
        return f"{self.place} {self.reason}".strip()


def scalar(field: FieldDescriptor, reject_unknown: bool) -> Check:
    if field.cpp_type in INTEGERS:
        return _integer(*INTEGERS[field.cpp_type])
    if field.cpp_type in FLOATS:
        return _number(field)
    if field.cpp_type == FieldDescriptor.CPPTYPE_BOOL:
        return _bool
    if field.cpp_type == FieldDescriptor.CPPTYPE_ENUM:
        return _enum(field, reject_unknown)
    return _bytes if field.type == FieldDescriptor.TYPE_BYTES else string


def anything(value: Any) -> None:
    return None


def string(value: Any) -> None:
    if not isinstance(value, str):
        raise Mismatch(f"must be a string, not {kind(value)}")


def _bool(value: Any) -> None:
    if not isinstance(value, bool):
        raise Mismatch(f"must be true or false, not {kind(value)}")


def _bytes(value: Any) -> None:
    string(value)
    try:
        read_base64(value)
    except ValueError as error:
        raise Mismatch(str(error)) from None


def _integer(least: int, most: int) -> Check:
    def check(value: Any) -> None:
        number = value
        if isinstance(value, str) and _INTEGRAL.fullmatch(value):
            number = int(value) if value.lstrip("-").isdecimal() else float(value)
        if isinstance(number, bool) or not isinstance(number, (int, float)):
            raise Mismatch(f"must be an integer, not {kind(value)}")
        if not least <= number <= most:
            raise Mismatch(f"must be between {least} and {most}")
        if number != int(number):
            raise Mismatch(f"must be an integer, not {value}")

    return check


def _number(field: FieldDescriptor) -> Check:
    text = text_of(field)
    assert text is not None

    def check(value: Any) -> None:
        if isinstance(value, bool) or not isinstance(value, (int, float, str)):
            raise Mismatch(f"must be a number, not {kind(value)}")
        if isinstance(value, str) and value.startswith("+"):
            raise Mismatch(f"is not a number: {shown(value)}")
        try:
            text.read(value if isinstance(value, str) else repr(value))
        except ValueError as error:
            raise Mismatch(str(error)) from None

    return check


def _enum(field: FieldDescriptor, reject_unknown: bool) -> Check:
    enum = enum_of(field)
    in_range = _integer(*INTEGERS[FieldDescriptor.CPPTYPE_INT32])
    takes_null = enum.full_name == "google.protobuf.NullValue"

    def check(value: Any) -> None:
        if not isinstance(value, str):
            if not (value is None and takes_null):
                in_range(value)
        elif reject_unknown and value not in enum.values_by_name:
            raise Mismatch(f"must be one of {', '.join(enum.values_by_name)}, not {shown(value)}")

    return check


def kind(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return f"the string {shown(value)}"
    if isinstance(value, (int, float)):
        return "a number"
    return "an array" if isinstance(value, list) else "an object"
