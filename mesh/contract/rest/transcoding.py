"""One binding applied from HTTP to gRPC: request -> message, message -> response body. Pure."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import partial
from typing import Any, Literal, NamedTuple

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import DecodeError, Message

from mesh.contract.methods import Binding, Contract, Method
from mesh.contract.protojson.body import is_nested_deeper, parse_json
from mesh.contract.protojson.fields import (
    OneofMember,
    Text,
    check_oneofs,
    oneof_members,
    resolve,
    set_text,
    takes_null,
    text_of,
)
from mesh.contract.protojson.messages import read_json, to_json
from mesh.contract.protojson.query import Query
from mesh.contract.protojson.scalars import Check, Mismatch
from mesh.contract.protojson.shape import Shapes
from mesh.errors import Code, StatusError

UnknownFields = Literal["reject", "ignore"]

JSON = "application/json"
HTTP_BODY = "google.api.HttpBody"

#: JSON of this depth or less is a message that can be read: each level is three messages at most (a Value, its Struct
#: and the entry of a map), and protobuf reads 100 within one another.
_ALWAYS_READABLE_LEVELS = 33

#: Compact, in UTF-8, and never a bare NaN.
write_json = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False, allow_nan=False, check_circular=False).encode


class Endpoint:
    """One binding of one method, prepared for repeated use."""

    def __init__(self, method: Method, binding: Binding, unknown_fields: UnknownFields = "reject") -> None:
        self.method = method
        self.binding = binding
        self._ignore = unknown_fields == "ignore"
        descriptor = method.descriptor.input_type
        self._pool: Any = descriptor.file.pool
        self._variables = [_PathField.of(resolve(descriptor, v.path)) for v in binding.template.variables]
        self._body_path = [field.name for field in resolve(descriptor, _body_names(binding))]
        self._body_field, self._check = self._body_check(Shapes(not self._ignore))
        bound = [variable.path for variable in binding.template.variables]
        bound += [()] if binding.body == "*" else [tuple(self._body_path)] if binding.body else []
        self._query = Query(descriptor, bound, not self._ignore)
        self.raw_body = self._takes_raw_body()
        response = method.descriptor.output_type
        self._part = resolve(response, [binding.response_body])[0] if binding.response_body else None
        shown = self._part.message_type if self._part is not None else response
        single = self._part is None or not self._part.is_repeated
        self.raw_response = single and shown is not None and shown.full_name == HTTP_BODY

    def _body_check(self, shapes: Shapes) -> tuple[FieldDescriptor | None, Check]:
        descriptor = self.method.descriptor.input_type
        if not self._body_path:
            return None, shapes.of(descriptor)
        field = resolve(descriptor, self._body_path)[-1]
        return field, shapes.of_field(field)

    def _takes_raw_body(self) -> bool:
        scope = self.method.descriptor.input_type if self.binding.body == "*" else None
        scope = self._body_field.message_type if self._body_field is not None else scope
        return scope is not None and scope.full_name == HTTP_BODY

    def request(
        self, values: Sequence[str] | None, query: str = "", body: bytes = b"", content_type: str = ""
    ) -> Message:
        """Return the message of a request.

        values: of the path's variables, decoded, as the router gives them; None for a message without path and query,
        as all but the first in a stream. body: JSON, or anything for HttpBody; blank
        counts as none. Raises StatusError INVALID_ARGUMENT naming the field.
        """
        message = self.method.request_class()
        try:
            if self.binding.body:
                self._read_body(message, body, content_type)
            if query:
                self._query.read(query, message)
            # Last, so that nothing overrides the path.
            for variable, value in zip(self._variables, values, strict=True) if values else ():
                variable.write(message, value)
        except Mismatch as mismatch:
            raise StatusError(Code.INVALID_ARGUMENT, str(mismatch)) from None
        return message

    def _read_body(self, message: Message, body: bytes, content_type: str) -> None:
        if self.raw_body:
            target: Any = message
            for name in self._body_path:
                target = getattr(target, name)
            target.content_type, target.data = content_type, body
        elif body and not body.isspace():
            self._read_json(message, parse_json(body))
            if is_nested_deeper(body, _ALWAYS_READABLE_LEVELS):
                _refuse_unreadable(message)

    def _read_json(self, message: Message, content: Any) -> None:
        target = message
        if self._body_field is not None:
            if content is None and not takes_null(self._body_field):
                return
            try:
                self._check(content)
            except Mismatch as mismatch:
                raise mismatch.within(".".join(self._body_path)) from None
            for name in self._body_path[:-1]:
                target = getattr(target, name)
            content = {self._body_field.name: content}
        else:
            try:
                self._check(content)
            except Mismatch as mismatch:
                raise mismatch if mismatch.place else mismatch.within("the body") from None
        try:
            read_json(content, target, self._pool, ignore_unknown=self._ignore)
        except Exception as error:
            # json_format raises many kinds of errors; whichever it is, the input was the reason.
            raise Mismatch(_last_words(error)) from None

    def response(self, message: Message) -> tuple[bytes, str]:
        """Return the body and its content type; raises TypeError if it is not a message of the method."""
        if not isinstance(message, self.method.response_class):
            wanted, given = self.method.response_class.__name__, type(message).__name__
            raise TypeError(f"{self.method} returned {given}, not {wanted}")
        if self.raw_response:
            part: Any = message if self._part is None else getattr(message, self._part.name)
            return part.data, part.content_type or "application/octet-stream"
        return write_json(self.response_json(message)).encode("utf-8", "replace"), JSON

    def response_json(self, message: Message) -> Any:
        """Return the JSON value of the body: the message or its part named by response_body; null if that is unset."""
        content = to_json(message, self._pool, defaults=True)
        return content if self._part is None else content.get(self._part.json_name)


def _refuse_unreadable(message: Message) -> None:
    """Raise Mismatch for a message that json_format has made and that protobuf, wherever it runs, does not read."""
    try:
        type(message).FromString(message.SerializePartialToString())
    except DecodeError:
        raise Mismatch("is nested too deeply: protobuf reads 100 messages within one another", "the body") from None


class _PathField(NamedTuple):
    """The field that a path's variable sets."""

    parents: list[str]
    field: FieldDescriptor
    text: Text
    members: tuple[OneofMember, ...]

    @classmethod
    def of(cls, fields: Sequence[FieldDescriptor]) -> _PathField:
        return cls(*_setter(fields), oneof_members(fields))

    def write(self, message: Message, value: str) -> None:
        """Write the value; raises Mismatch naming the field."""
        target = message
        for name in self.parents:
            target = getattr(target, name)
        try:
            check_oneofs(message, self.members)
            set_text(target, self.field, self.text, value)
        except ValueError as error:
            raise Mismatch(str(error), ".".join([*self.parents, self.field.name])) from None


class Location:
    """The path at which the result of a standard Create method can be read, by the Get method of the same noun."""

    def __init__(self, get: Method, binding: Binding, created: Method) -> None:
        self.get, self.binding, self.created = get, binding, created
        self._template = binding.template
        found = (resolve(created.descriptor.output_type, v.path) for v in binding.template.variables)
        self._parts = [_reader(fields) for fields in found]

    @classmethod
    def of(cls, contract: Contract, endpoint: Endpoint) -> Location | None:
        """Return None if the method is not a Create, no method gets its noun, or its answer lacks what Get needs."""
        method, binding = endpoint.method, endpoint.binding
        name = f"{method.service}.Get{method.name.removeprefix('Create')}"
        if binding.http_method != "POST" or not method.name.startswith("Create") or name not in contract:
            return None
        get = contract[name]
        for found in get.bindings:
            if found.http_method == "GET" and found.template.variables:
                try:
                    return cls(get, found, method)
                except KeyError:
                    return None
        return None

    def path(self, message: Message) -> str | None:
        return self._template.fill([read(message) for read in self._parts])


def _body_names(binding: Binding) -> list[str]:
    return [] if binding.body in ("", "*") else binding.body.split(".")


def _setter(fields: Sequence[FieldDescriptor]) -> tuple[list[str], FieldDescriptor, Text]:
    text = text_of(fields[-1])
    assert text is not None, "checked when the contract was read"
    return [field.name for field in fields[:-1]], fields[-1], text


def _reader(fields: Sequence[FieldDescriptor]) -> Any:
    parents, field, text = _setter(fields)
    return partial(_read, [*parents, field.name], text)


def _read(names: Sequence[str], text: Text, message: Message) -> str:
    value: Any = message
    for name in names:
        value = getattr(value, name)
    return text.write(value)


def _last_words(error: Exception) -> str:
    """Return json_format's reason without its repeated preamble."""
    return str(error).rsplit(" field: ", 1)[-1].split("\n")[0] or type(error).__name__
