"""Converts messages to and from ProtoJSON by `json_format`, with a form for an Any whose type is unknown.

That form is `{"@type": …, "value": …}` with the content in base64, as if the Any held a google.protobuf.BytesValue.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from google.protobuf import json_format, message_factory
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.message import Message
from google.protobuf.wrappers_pb2 import BytesValue

from mesh.contract.protojson.fields import OWN_FORM, map_entry

_ANY = AnyMessage.DESCRIPTOR.full_name
_UNKNOWN_TYPE = "Can not find message descriptor by type_url: "


def to_json(message: Message, pool: Any, *, defaults: bool = False) -> Any:
    """Return the message's ProtoJSON.

    pool: where the types of Any are looked up. defaults: include unset fields that have no presence.
    """
    try:
        return _printed(message, pool, defaults)
    except TypeError:
        # json_format met an Any of an unknown type.
        copy = type(message)()
        copy.CopyFrom(message)
        lenient = _LenientPool(pool)
        _change_opaque(copy, lenient, _wrap)
        return _printed(copy, lenient, defaults)


def read_json(content: Any, message: Message, pool: Any, *, ignore_unknown: bool = False) -> None:
    """Merge the ProtoJSON of a request into the message.

    An Any of an unknown type is refused: the sender may mean a message. Raises an exception of whatever kind
    json_format does; its last words give the reason.
    """
    try:
        json_format.ParseDict(content, message, ignore_unknown, pool)
    except json_format.ParseError as error:
        _, found, rest = str(error).partition(_UNKNOWN_TYPE)
        if not found:
            raise
        raise ValueError(f"an Any holds the type {rest.split()[0]}, which is not known here") from None


def read_answer(content: Any, message: Message, pool: Any) -> None:
    """Merge the ProtoJSON of another server's answer into the message, which may know less than that server.

    Ignores unknown fields, and reads back the form that `to_json` gives unknown types. Raises what json_format does.
    """
    lenient = _LenientPool(pool, frozenset(_opaque_types(content, pool)))
    as_pool: Any = lenient
    json_format.ParseDict(content, message, True, as_pool)
    if lenient.met_opaque:
        _change_opaque(message, lenient, _unwrap)


class _LenientPool:
    """A descriptor pool for json_format, in which a type that is unknown, or in `opaque`, is a BytesValue."""

    def __init__(self, pool: Any, opaque: frozenset[str] = frozenset()) -> None:
        self._pool = pool
        self._opaque = opaque
        self.met_opaque = False

    def known(self, name: str) -> Any:
        """Return the descriptor of a type, or None if it is opaque."""
        try:
            return None if name in self._opaque else self._pool.FindMessageTypeByName(name)
        except KeyError:
            return None

    def FindMessageTypeByName(self, name: str) -> Any:  # named by protobuf
        known = self.known(name)
        self.met_opaque |= known is None
        return known or BytesValue.DESCRIPTOR


def _printed(message: Message, pool: Any, defaults: bool) -> Any:
    return json_format.MessageToDict(message, always_print_fields_with_no_presence=defaults, descriptor_pool=pool)


def _change_opaque(message: Message, pool: _LenientPool, change: Callable[[Any], None]) -> None:
    """Change every Any of an opaque type in the message, also those within an Any."""
    if message.DESCRIPTOR.full_name != _ANY:
        for inner in _submessages(message):
            _change_opaque(inner, pool, change)
        return
    packed: Any = message
    if not packed.ListFields():
        return
    known = pool.known(_type_name(packed.type_url))
    if known is None:
        change(packed)
        return
    content = message_factory.GetMessageClass(known).FromString(packed.value)
    _change_opaque(content, pool, change)
    packed.value = content.SerializeToString()


def _submessages(message: Message) -> Iterator[Message]:
    for field, value in message.ListFields():
        entry = map_entry(field)
        if entry is not None:
            yield from value.values() if entry.fields_by_name["value"].message_type is not None else ()
        elif field.message_type is not None:
            yield from value if field.is_repeated else (value,)


def _wrap(packed: Any) -> None:
    packed.value = BytesValue(value=packed.value).SerializeToString()


def _unwrap(packed: Any) -> None:
    packed.value = BytesValue.FromString(packed.value).value


def _opaque_types(content: Any, pool: Any) -> Iterator[str]:
    """Return types that this side knows and the sender did not: messages without a field `value`, given as base64."""
    if isinstance(content, dict):
        url = content.get("@type")
        if isinstance(url, str) and content.keys() == {"@type", "value"} and isinstance(content["value"], str):
            known = _LenientPool(pool).known(_type_name(url))
            if known is not None and known.full_name not in OWN_FORM and "value" not in known.fields_by_name:
                yield known.full_name
    items = content.values() if isinstance(content, dict) else content if isinstance(content, list) else ()
    for item in items:
        yield from _opaque_types(item, pool)


def _type_name(url: str) -> str:
    return url.rpartition("/")[2]
