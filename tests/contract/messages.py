"""Random messages of any type, with the values that implementations differ in."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from library_pb2 import Author, Shelf

TEXTS = ["", "a", "é", "😀", "a/b", "%2F", "+ &=#?", "..", '"\\', "\0", "\n\r\t", "null", "\u2028", "x" * 300]
DOUBLES = [0.0, -0.0, 1.0, 0.1, 1e-310, 1.7976931348623157e308, math.nan, math.inf, -math.inf, 1e21, 3.4028235e38]
FLOATS = [0.0, -0.0, 1.5, 0.1, 3.4028234663852886e38, -3.4028234663852886e38, 1e-45, math.nan, math.inf, -math.inf]
RANGES = {
    FieldDescriptor.CPPTYPE_INT32: (-(2**31), 2**31 - 1),
    FieldDescriptor.CPPTYPE_INT64: (-(2**63), 2**63 - 1),
    FieldDescriptor.CPPTYPE_UINT32: (0, 2**32 - 1),
    FieldDescriptor.CPPTYPE_UINT64: (0, 2**64 - 1),
}


class Messages:
    """Fills messages; `depth` bounds how far they nest."""

    def __init__(self, seed: int, depth: int = 3) -> None:
        self._random = random.Random(seed)
        self._depth = depth

    def fill(self, message: Any, depth: int | None = None) -> Any:
        """Return the message with some of its fields set."""
        depth = self._depth if depth is None else depth
        special = SPECIAL.get(message.DESCRIPTOR.full_name)
        if special is not None:
            special(self._random, message)
            return message
        for field in message.DESCRIPTOR.fields:
            if self._random.random() < 0.15:
                self._set(message, field, depth)
        if self._random.random() < 0.01:
            # A field that this version of the message does not have.
            message.MergeFromString(b"\xc0\x3e\x01")
        return message

    def _set(self, message: Any, field: FieldDescriptor, depth: int) -> None:
        kind = field.message_type
        if kind is not None and kind.GetOptions().map_entry:
            self._fill_map(getattr(message, field.name), kind, depth)
        elif field.is_repeated:
            items = getattr(message, field.name)
            for _ in range(self._random.randint(1, 3)):
                if kind is not None:
                    self._fill_inner(items.add(), depth)
                else:
                    items.append(self._scalar(field))
        elif kind is not None:
            inner = getattr(message, field.name)
            inner.SetInParent()
            self._fill_inner(inner, depth)
        else:
            setattr(message, field.name, self._scalar(field))

    def _fill_inner(self, message: Any, depth: int) -> None:
        if depth > 0:
            self.fill(message, depth - 1)

    def _fill_map(self, entries: Any, kind: Any, depth: int) -> None:
        key, value = kind.fields_by_name["key"], kind.fields_by_name["value"]
        for _ in range(self._random.randint(1, 3)):
            if value.message_type is not None:
                self._fill_inner(entries[self._scalar(key)], depth)
            else:
                entries[self._scalar(key)] = self._scalar(value)

    def _scalar(self, field: FieldDescriptor) -> Any:
        choose = self._random.choice
        if field.cpp_type in RANGES:
            least, most = RANGES[field.cpp_type]
            return choose([least, most, 0, 1, self._random.randint(least, most)])
        if field.cpp_type == FieldDescriptor.CPPTYPE_FLOAT:
            return choose(FLOATS)
        if field.cpp_type == FieldDescriptor.CPPTYPE_DOUBLE:
            return choose([*DOUBLES, self._random.uniform(-1e6, 1e6)])
        if field.cpp_type == FieldDescriptor.CPPTYPE_BOOL:
            return choose([True, False])
        if field.enum_type is not None:
            return choose([*(value.number for value in field.enum_type.values), 77])
        text = choose([*TEXTS, chr(self._random.randint(32, 0xD7FF)) * 3])
        return self._random.randbytes(5) if field.type == FieldDescriptor.TYPE_BYTES else text


def _timestamp(chance: random.Random, message: Any) -> None:
    message.seconds = chance.choice([0, -62135596800, 253402300799, chance.randint(-(10**9), 10**10), 10**12])
    message.nanos = chance.choice([0, 1, 500_000_000, 999_999_999])


def _duration(chance: random.Random, message: Any) -> None:
    sign = chance.choice([1, -1])
    message.seconds = sign * chance.choice([0, 1, 315576000000, 10**12])
    message.nanos = sign * chance.choice([0, 1, 999_999_999])


def _mask(chance: random.Random, message: Any) -> None:
    message.paths.extend(chance.choice([["a"], ["a_b", "c.d_e"], ["notSnake"], [""], ["a,b"], ["a__b"], ["a_1"]]))


def _value(chance: random.Random, message: Any, depth: int = 2) -> None:
    kind = chance.choice(["null", "number", "string", "bool", "struct", "list", "none"])
    if kind == "null":
        message.null_value = 0
    elif kind == "number":
        message.number_value = chance.choice([0, -0.0, 1.5, 1e300, 3.4028235e38, math.nan])
    elif kind == "string":
        message.string_value = chance.choice(TEXTS)
    elif kind == "bool":
        message.bool_value = chance.choice([True, False])
    elif kind == "struct":
        message.struct_value.SetInParent()
        _struct(chance, message.struct_value, depth - 1)
    elif kind == "list":
        message.list_value.SetInParent()
        for _ in range(chance.randint(0, 2) if depth else 0):
            _value(chance, message.list_value.values.add(), depth - 1)


def _struct(chance: random.Random, message: Any, depth: int = 2) -> None:
    for _ in range(chance.randint(0, 2) if depth else 0):
        _value(chance, message.fields[chance.choice(TEXTS)], depth - 1)


def _any(chance: random.Random, message: Any) -> None:
    inner = chance.choice([Shelf(name="s"), Author(first_name="é"), None])
    if inner is not None:
        message.Pack(inner)
    elif chance.random() < 0.5:
        message.type_url, message.value = "type.googleapis.com/no.Such", b"\x08\x01"


SPECIAL: dict[str, Callable[[random.Random, Any], None]] = {
    "google.protobuf.Timestamp": _timestamp,
    "google.protobuf.Duration": _duration,
    "google.protobuf.FieldMask": _mask,
    "google.protobuf.Value": _value,
    "google.protobuf.Struct": _struct,
    "google.protobuf.Any": _any,
}


def parts(message: Message) -> list[Message]:
    """Return the message and every message within it."""
    found = [message]
    for field, value in message.ListFields():
        if field.message_type is None:
            continue
        if field.message_type.GetOptions().map_entry:
            values = value.values() if field.message_type.fields_by_name["value"].message_type else ()
        else:
            values = value if field.is_repeated else [value]
        for each in values:
            found += parts(each)
    return found
