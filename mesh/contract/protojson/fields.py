"""Fields of a message as text, in a path variable or in a query parameter.

Every scalar and those well-known types whose JSON is one string or scalar have a text form; Struct, Value and ListValue
are written as JSON. Other messages, and repeated fields, have none. What ProtoJSON leaves open is read as Envoy
and grpc-gateway read it: `True`, `t` and `1` are booleans, and a number may begin with a plus.
"""

from __future__ import annotations

import base64
import binascii
import math
import re
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from google.protobuf import json_format
from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor
from google.protobuf.message import Message

from mesh.contract.protojson.body import FLOAT_LIMIT, parse_json
from mesh.errors import StatusError

_INTEGER = re.compile(r"[+-]?[0-9]{1,20}", re.ASCII)
_NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?", re.ASCII)
_BASE64 = re.compile(r"[A-Za-z0-9+/_\-]*={0,2}", re.ASCII)

INTEGERS = {
    FieldDescriptor.CPPTYPE_INT32: (-(2**31), 2**31 - 1),
    FieldDescriptor.CPPTYPE_INT64: (-(2**63), 2**63 - 1),
    FieldDescriptor.CPPTYPE_UINT32: (0, 2**32 - 1),
    FieldDescriptor.CPPTYPE_UINT64: (0, 2**64 - 1),
}
FLOATS = (FieldDescriptor.CPPTYPE_FLOAT, FieldDescriptor.CPPTYPE_DOUBLE)
WRAPPERS = {
    f"google.protobuf.{kind}Value"
    for kind in ("Bool", "Bytes", "Double", "Float", "Int32", "Int64", "String", "UInt32", "UInt64")
}
ONE_STRING = {f"google.protobuf.{kind}" for kind in ("Duration", "FieldMask", "Timestamp")}
AS_JSON = {f"google.protobuf.{kind}" for kind in ("ListValue", "Struct", "Value")}
OWN_FORM = WRAPPERS | ONE_STRING | AS_JSON | {"google.protobuf.Any"}
_TRUE = ("1", "t", "T", "true", "True", "TRUE")
_FALSE = ("0", "f", "F", "false", "False", "FALSE")


class Text(NamedTuple):
    """Converts between a field's value and its text; `read` raises ValueError with the reason.

    A message field is read into, and written from, the sub-message itself.
    """

    read: Callable[[str], Any]
    write: Callable[[Any], str]


def resolve(descriptor: Descriptor, path: Sequence[str]) -> list[FieldDescriptor]:
    """Return the fields along a path of proto or JSON names; raises KeyError with the first unknown name."""
    fields: list[FieldDescriptor] = []
    scope: Descriptor | None = descriptor
    for name in path:
        field = None if scope is None else field_named(scope, name)
        if field is None or (fields and fields[-1].is_repeated):
            raise KeyError(name)
        fields.append(field)
        scope = field.message_type
    return fields


def field_named(descriptor: Descriptor, name: str) -> FieldDescriptor | None:
    """Return the field of this proto name, else of this JSON name."""
    field = descriptor.fields_by_name.get(name)
    return field or descriptor.fields_by_camelcase_name.get(name) or _by_json_name(descriptor, name)


def _by_json_name(descriptor: Descriptor, name: str) -> FieldDescriptor | None:
    return next((field for field in descriptor.fields if field.json_name == name), None)


def map_entry(field: FieldDescriptor) -> Descriptor | None:
    """Return the type of a map's entries, with its fields `key` and `value`, or None if the field is not a map."""
    message = field.message_type
    return message if message is not None and message.GetOptions().map_entry else None


def is_well_known(message: Descriptor | None) -> bool:
    """Return True for a type with its own JSON form, which hides its fields."""
    return message is not None and message.full_name in OWN_FORM


def takes_null(field: FieldDescriptor) -> bool:
    """Return True if `null` is a value of the field and not its absence."""
    kind = field.message_type or field.enum_type
    return (
        not field.is_repeated
        and kind is not None
        and kind.full_name in ("google.protobuf.Value", "google.protobuf.NullValue")
    )


def enum_of(field: FieldDescriptor) -> EnumDescriptor:
    assert field.enum_type is not None, "asked of enum fields alone"
    return field.enum_type


def text_of(field: FieldDescriptor) -> Text | None:
    """Return how one value of this field is read and written as text; None if it has no such form."""
    message = field.message_type
    if message is not None:
        return _message_text(message)
    if field.cpp_type in INTEGERS:
        return Text(_integer(*INTEGERS[field.cpp_type]), str)
    if field.cpp_type in FLOATS:
        return Text(_float(field.cpp_type == FieldDescriptor.CPPTYPE_FLOAT), _write_float)
    if field.cpp_type == FieldDescriptor.CPPTYPE_BOOL:
        return Text(_bool, lambda value: "true" if value else "false")
    if field.cpp_type == FieldDescriptor.CPPTYPE_ENUM:
        return Text(_enum(field), _write_enum(field))
    if field.type == FieldDescriptor.TYPE_BYTES:
        return Text(read_base64, lambda value: base64.urlsafe_b64encode(value).decode())
    return Text(str, str)


class OneofMember(NamedTuple):
    """A member of a oneof on the path to a field; `parents` lead to the message that holds it."""

    parents: tuple[str, ...]
    oneof: str
    name: str


def oneof_members(fields: Sequence[FieldDescriptor]) -> tuple[OneofMember, ...]:
    """Return the members of oneofs along a path of fields."""
    names = tuple(field.name for field in fields)
    return tuple(
        OneofMember(names[:index], field.containing_oneof.name, field.name)
        for index, field in enumerate(fields)
        if field.containing_oneof is not None
    )


def check_oneofs(message: Message, members: Sequence[OneofMember]) -> None:
    """Raise ValueError, naming the other member, if a oneof already has another one than these."""
    for member in members:
        scope = message
        for parent in member.parents:
            scope = getattr(scope, parent)
        if (other := scope.WhichOneof(member.oneof)) not in (None, member.name):
            raise ValueError(f"excludes {other}: a message holds one of them")


def set_text(message: Message, field: FieldDescriptor, text: Text, value: str) -> None:
    """Write one value into a message, appending to a repeated field. Raises ValueError with the reason."""
    read = text.read(value)
    if field.is_repeated:
        repeated = getattr(message, field.name)
        if field.message_type:
            read(repeated.add())
        else:
            repeated.append(read)
    elif field.message_type:
        sub = getattr(message, field.name)
        sub.SetInParent()
        read(sub)
    else:
        setattr(message, field.name, read)


def read_map_entry(message: Message, field: FieldDescriptor, key: str, value: str) -> None:
    """Write one entry into a map; raises ValueError with the reason."""
    entry = map_entry(field)
    assert entry is not None
    fields = entry.fields_by_name
    key_text, value_text = text_of(fields["key"]), text_of(fields["value"])
    if key_text is None or value_text is None:
        raise ValueError("cannot be written as text")
    entries, read_key, read_value = getattr(message, field.name), key_text.read(key), value_text.read(value)
    if fields["value"].message_type:
        read_value(entries[read_key])
    else:
        entries[read_key] = read_value


def _message_text(descriptor: Descriptor) -> Text | None:
    name = descriptor.full_name
    if name in WRAPPERS:
        inner = text_of(descriptor.fields_by_name["value"])
        assert inner is not None
        # Only set once the text is valid: `read` runs before the message is changed.
        return Text(lambda text: _setter("value", inner.read(text)), lambda message: inner.write(message.value))
    if name == "google.protobuf.FieldMask":
        return Text(lambda text: _mask(descriptor, text), lambda message: str(message.ToJsonString()))
    if name in ONE_STRING:
        return Text(lambda text: _merger(descriptor, text), lambda message: str(message.ToJsonString()))
    if name in AS_JSON:
        return Text(lambda text: _merger(descriptor, _parsed(text)), _write_json)
    return None


def _parsed(text: str) -> Any:
    try:
        return parse_json(text.encode())
    except StatusError as error:
        raise ValueError(error.message.removeprefix("the body ")) from None


def _setter(name: str, value: Any) -> Callable[[Message], None]:
    return lambda message: setattr(message, name, value)


def _merger(descriptor: Descriptor, value: Any) -> Callable[[Message], None]:
    """Return a function that reads a sub-message by ProtoJSON."""

    def merge(message: Message) -> None:
        try:
            json_format.ParseDict(value, message)
        except Exception as error:
            # json_format raises many kinds of errors; whichever it is, the value was the reason.
            raise ValueError(f"is not a {descriptor.name}: {error}") from None

    return merge


def _mask(descriptor: Descriptor, text: str) -> Callable[[Any], None]:
    """Read a FieldMask of JSON names, as in ProtoJSON, or of proto names, as is usual in queries."""
    if "_" in text:
        return lambda message: message.paths.extend(text.split(","))
    return _merger(descriptor, text)


def _write_json(message: Message) -> str:
    return json_format.MessageToJson(message, indent=None)


def _integer(least: int, most: int) -> Callable[[str], int]:
    def read(text: str) -> int:
        if not _INTEGER.fullmatch(text):
            raise ValueError(f"is not an integer: {shown(text)}")
        if not least <= (value := int(text)) <= most:
            raise ValueError(f"is out of range: {text}")
        return value

    return read


def _float(single: bool) -> Callable[[str], float]:
    def read(text: str) -> float:
        if text in ("NaN", "Infinity", "-Infinity"):
            return float(text)
        if not _NUMBER.fullmatch(text):
            raise ValueError(f"is not a number: {shown(text)}")
        if math.isinf(value := float(text)) or (single and abs(value) >= FLOAT_LIMIT):
            raise ValueError(f"is out of range: {shown(text)}")
        return value

    return read


def _write_float(value: float) -> str:
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "Infinity" if value > 0 else "-Infinity"
    return repr(value)


def _bool(text: str) -> bool:
    if text not in _TRUE and text not in _FALSE:
        raise ValueError(f"is neither true nor false: {shown(text)}")
    return text in _TRUE


def _enum(field: FieldDescriptor) -> Callable[[str], int]:
    enum = enum_of(field)
    in_range = _integer(*INTEGERS[FieldDescriptor.CPPTYPE_INT32])

    def read(text: str) -> int:
        if text in enum.values_by_name:
            return int(enum.values_by_name[text].number)
        if _INTEGER.fullmatch(text) and (not enum.is_closed or int(text) in enum.values_by_number):
            return in_range(text)
        raise ValueError(f"is not one of {', '.join(enum.values_by_name)}: {shown(text)}")

    return read


def _write_enum(field: FieldDescriptor) -> Callable[[int], str]:
    numbers = enum_of(field).values_by_number
    return lambda value: numbers[value].name if value in numbers else str(value)


def read_base64(text: str) -> bytes:
    """Return the bytes of base64 in either alphabet, padded or not."""
    try:
        if not _BASE64.fullmatch(text):
            raise binascii.Error
        bare = text.rstrip("=")
        return base64.urlsafe_b64decode(bare.replace("+", "-").replace("/", "_") + "=" * (-len(bare) % 4))
    except binascii.Error:
        raise ValueError(f"is not base64: {shown(text)}") from None


def shown(text: str) -> str:
    """Return at most 40 characters of a value, quoted."""
    return repr(text if len(text) <= 40 else text[:37] + "...")
