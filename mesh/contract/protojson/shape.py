"""Checks that parsed JSON has the shape of a message, and names the part that does not.

`json_format` reads JSON into messages, and is lenient where ProtoJSON is not: it takes `true` for a number, `""` or
`[]` for a message, `"1_000"` for an integer, any text for base64. These checks come first, refuse such values, and
suggest the nearest name for an unknown field.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from google.protobuf.descriptor import Descriptor, FieldDescriptor

from mesh.contract.protojson.fields import AS_JSON, ONE_STRING, WRAPPERS, map_entry, shown, takes_null
from mesh.contract.protojson.scalars import Check, Mismatch, anything, kind, scalar, string
from mesh.suggestions import did_you_mean


def unknown_name(what: str, name: str, known: Iterable[str]) -> Mismatch:
    """Return the mistake of an unknown name, with the nearest known one."""
    return Mismatch(f"is not a {what}{did_you_mean(name, known)}", shown(name)[1:-1])


class _Field(NamedTuple):
    """The rules that one field is checked by. oneof: the oneof that it is a member of, if any."""

    number: int
    check: Check
    oneof: str | None
    takes_null: bool


class Shapes:
    """The checks of message types, made as they are met, so that a type may contain itself."""

    def __init__(self, reject_unknown: bool) -> None:
        self.reject_unknown = reject_unknown
        self._known: dict[str, Check] = {}

    def of(self, descriptor: Descriptor) -> Check:
        name = descriptor.full_name
        if name not in self._known:
            self._known[name] = _well_known(descriptor) or self._message(descriptor)
        return self._known[name]

    def _message(self, descriptor: Descriptor) -> Check:
        fields: dict[str, _Field] = {}

        def check(value: Any) -> None:
            if not isinstance(value, dict):
                raise Mismatch(f"must be a JSON object, not {kind(value)}")
            if not fields:
                fields.update(self._fields(descriptor))
            seen = set()
            members: dict[str, str] = {}
            for name, item in value.items():
                if name not in fields:
                    self._meet_unknown(name, descriptor)
                    continue
                field = fields[name]
                seen.add(field.number)
                if item is not None:
                    _within(name, field.check, item)
                if field.oneof is not None and (item is not None or field.takes_null):
                    _refuse_second_member(members.setdefault(field.oneof, name), name, fields)
            if len(seen) < len(value):
                _refuse_two_names(value, fields)

        return check

    def _meet_unknown(self, name: str, descriptor: Descriptor) -> None:
        # A name in brackets is an extension of proto2; json_format looks it up.
        if self.reject_unknown and not name.startswith("["):
            raise unknown_name("known field", name, [field.json_name for field in descriptor.fields])

    def _fields(self, descriptor: Descriptor) -> dict[str, _Field]:
        found: dict[str, _Field] = {}
        for field in descriptor.fields:
            oneof = field.containing_oneof.name if field.containing_oneof is not None else None
            checked = _Field(field.number, self.of_field(field), oneof, takes_null(field))
            found |= dict.fromkeys((field.name, field.json_name), checked)
        return found

    def of_field(self, field: FieldDescriptor) -> Check:
        """Return the check of a field's whole value, an array or a map if it is one."""
        entry = map_entry(field)
        if entry is not None:
            return _each_value(self._single(entry.fields_by_name["value"]))
        return _each_item(self._single(field)) if field.is_repeated else self._single(field)

    def _single(self, field: FieldDescriptor) -> Check:
        if field.message_type is not None:
            return self.of(field.message_type)
        return scalar(field, self.reject_unknown)


def _within(place: str, check: Check, value: Any) -> None:
    try:
        check(value)
    except Mismatch as mismatch:
        raise mismatch.within(place) from None


def _refuse_two_names(value: dict[str, Any], fields: dict[str, _Field]) -> None:
    names: dict[int, str] = {}
    for name in value:
        if name in fields and names.setdefault(fields[name].number, name) != name:
            raise Mismatch(f"is given twice, also as {names[fields[name].number]}", name)


def _refuse_second_member(first: str, name: str, fields: dict[str, _Field]) -> None:
    if fields[first].number != fields[name].number:
        raise Mismatch(f"excludes {first}: a message holds one of them", name)


def _well_known(descriptor: Descriptor) -> Check | None:
    name = descriptor.full_name
    if name in WRAPPERS:
        return scalar(descriptor.fields_by_name["value"], True)
    if name in ONE_STRING:
        return string
    if name == "google.protobuf.Struct":
        return _each_value(anything)
    if name == "google.protobuf.ListValue":
        return _each_item(anything)
    return anything if name in AS_JSON or name == "google.protobuf.Any" else None


def _each_item(one: Check) -> Check:
    def check(value: Any) -> None:
        if not isinstance(value, list):
            raise Mismatch(f"must be an array, not {kind(value)}")
        for index, item in enumerate(value):
            try:
                one(item)
            except Mismatch as mismatch:
                raise mismatch.within(f"[{index}]") from None

    return check


def _each_value(one: Check) -> Check:
    def check(value: Any) -> None:
        if not isinstance(value, dict):
            raise Mismatch(f"must be a JSON object, not {kind(value)}")
        for key, item in value.items():
            _within(f"[{shown(key)}]", one, item)

    return check
