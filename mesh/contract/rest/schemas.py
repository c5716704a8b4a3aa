"""Message types as JSON Schema, as ProtoJSON writes them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from google.api import field_behavior_pb2
from google.protobuf import descriptor_pb2
from google.protobuf.descriptor import Descriptor, FieldDescriptor

from mesh.contract.protojson.fields import FLOATS, INTEGERS, WRAPPERS, enum_of, map_entry

Schema = dict[str, Any]

_SMALL = (FieldDescriptor.CPPTYPE_INT32, FieldDescriptor.CPPTYPE_UINT32)
_NOT_FINITE = {"type": "string", "enum": ["NaN", "Infinity", "-Infinity"]}

NULL: Schema = {"type": "null"}

_WELL_KNOWN: Mapping[str, Schema] = {
    "google.protobuf.Any": {
        "type": "object",
        "properties": {"@type": {"type": "string"}},
        "additionalProperties": True,
    },
    "google.protobuf.Duration": {"type": "string", "pattern": r"^-?[0-9]+(\.[0-9]{1,9})?s$"},
    "google.protobuf.Empty": {"type": "object"},
    "google.protobuf.FieldMask": {"type": "string"},
    "google.protobuf.ListValue": {"type": "array", "items": {}},
    "google.protobuf.Struct": {"type": "object"},
    "google.protobuf.Timestamp": {"type": "string", "format": "date-time"},
    "google.protobuf.Value": {},
}


class Schemas:
    """Schemas by full name, added as types are met.

    comments: by full name. closed: whether a message refuses unknown fields.
    """

    def __init__(self, comments: Mapping[str, str], closed: bool) -> None:
        self.components: dict[str, Schema] = {}
        self._comments = comments
        self._closed = closed

    def message(self, descriptor: Descriptor) -> Schema:
        """Return a reference to the schema, or the schema itself for a type with its own JSON form."""
        name = descriptor.full_name
        if name in WRAPPERS:
            return self._single(descriptor.fields_by_name["value"])
        if name in _WELL_KNOWN:
            return dict(_WELL_KNOWN[name])
        if name not in self.components:
            self.components[name] = {}
            self.components[name] = self._described(name, self._object(descriptor.fields))
        return {"$ref": f"#/components/schemas/{name}"}

    def body(self, descriptor: Descriptor, elsewhere: set[str]) -> Schema:
        """Return the schema of a message without the fields, by proto name, that are given elsewhere in the request."""
        if not any(field.name in elsewhere for field in descriptor.fields):
            return self.message(descriptor)
        return self._object([field for field in descriptor.fields if field.name not in elsewhere])

    def field(self, field: FieldDescriptor) -> Schema:
        """Return the schema of a field's whole value, with its comment."""
        entry = map_entry(field)
        if entry is not None:
            schema: Schema = {"type": "object", "additionalProperties": self._single(entry.fields_by_name["value"])}
        elif field.is_repeated:
            schema = {"type": "array", "items": self._single(field)}
        else:
            schema = self._single(field)
        return self._described(field.full_name, schema)

    def _object(self, fields: Iterable[FieldDescriptor]) -> Schema:
        behaviors = {field.json_name: behavior_of(field) for field in fields}
        properties = {field.json_name: self._property(field) for field in fields}
        schema: Schema = {"type": "object", "properties": properties}
        if required := [name for name, behavior in behaviors.items() if field_behavior_pb2.REQUIRED in behavior]:
            schema["required"] = required
        return {**schema, "additionalProperties": False} if self._closed else schema

    def _property(self, field: FieldDescriptor) -> Schema:
        schema, behavior = self.field(field), behavior_of(field)
        if field_behavior_pb2.OUTPUT_ONLY in behavior:
            schema = {**schema, "readOnly": True}
        if field_behavior_pb2.INPUT_ONLY in behavior:
            schema = {**schema, "writeOnly": True}
        return schema

    def _single(self, field: FieldDescriptor) -> Schema:
        if field.message_type is not None:
            return self.message(field.message_type)
        if field.cpp_type in INTEGERS:
            return _integer(field)
        if field.cpp_type in FLOATS:
            single = field.cpp_type == FieldDescriptor.CPPTYPE_FLOAT
            return {"anyOf": [{"type": "number", "format": "float" if single else "double"}, _NOT_FINITE]}
        if field.cpp_type == FieldDescriptor.CPPTYPE_BOOL:
            return {"type": "boolean"}
        if field.cpp_type == FieldDescriptor.CPPTYPE_ENUM:
            enum = enum_of(field)
            if enum.full_name == "google.protobuf.NullValue":
                return dict(NULL)
            return {"type": "string", "enum": [value.name for value in enum.values]}
        if field.type == FieldDescriptor.TYPE_BYTES:
            return {"type": "string", "format": "byte"}
        return {"type": "string"}

    def _described(self, name: str, schema: Schema) -> Schema:
        comment = self._comments.get(name)
        return {**schema, "description": comment} if comment else schema


def behavior_of(field: FieldDescriptor) -> Collection[int]:
    """Return the google.api.field_behavior of a field."""
    # The options of a private pool have a class without our extensions.
    options = descriptor_pb2.FieldOptions.FromString(field.GetOptions().SerializeToString())
    return list(options.Extensions[field_behavior_pb2.field_behavior])


def nullable(schema: Schema) -> Schema:
    """Return the schema of a value that may be absent."""
    return schema if schema in ({}, NULL) else {"anyOf": [schema, dict(NULL)]}


def _integer(field: FieldDescriptor) -> Schema:
    least, most = INTEGERS[field.cpp_type]
    if field.cpp_type in _SMALL:
        form = "int32" if least else "uint32"
        return {"type": "integer", "format": form, "minimum": least, "maximum": most}
    # A number of 64 bits is a string in JSON, which has only doubles.
    return {
        "type": "string",
        "format": "int64" if least else "uint64",
        "pattern": "^-?[0-9]+$" if least else "^[0-9]+$",
    }
