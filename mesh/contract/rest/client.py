"""The rules applied from gRPC to HTTP: message -> request, response -> message. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any
from urllib.parse import quote, urlencode

from google.protobuf import json_format
from google.protobuf import message as message_errors
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message
from msgspec import Struct

from mesh.contract.http_rules.router import ANY_METHOD
from mesh.contract.methods import Binding, Method
from mesh.contract.protojson.body import parse_json
from mesh.contract.protojson.fields import is_well_known, map_entry, resolve, text_of
from mesh.contract.protojson.messages import read_answer
from mesh.contract.rest.transcoding import HTTP_BODY, JSON, write_json
from mesh.contract.status import error_of_json
from mesh.errors import Code, StatusError


class _Unfit(Exception):
    """Raised if the binding cannot express the message."""


#: Raised by protobuf for a message without ProtoJSON, such as a Timestamp out of range.
_UNSAYABLE = (json_format.Error, message_errors.Error, ValueError, TypeError)


class HttpCall(Struct, frozen=True):
    """One call in its HTTP form.

    target: path and query, escaped. body: None if the rule has none.
    """

    method: Method
    binding: Binding
    http_method: str
    target: str
    body: bytes | None = None
    content_type: str = JSON

    def answer(self, status: int, body: bytes, content_type: str = JSON) -> Message:
        """Return the message in the answer; raises StatusError for the error in it, or if it holds neither."""
        if not 200 <= status < 300:
            raise error_of_json(status, body)
        if self.is_raw:
            return self.raw_message(body, content_type)
        try:
            return self._message(parse_json(body) if body else {})
        except StatusError as error:
            raise self._misfit(error) from error

    @property
    def is_raw(self) -> bool:
        """Return True if the answer is a google.api.HttpBody, or a stream of them."""
        part, output = self.binding.response_body, self.method.descriptor.output_type
        shown = resolve(output, [part])[0].message_type if part else output
        return shown is not None and shown.full_name == HTTP_BODY

    def raw_message(self, body: bytes, content_type: str) -> Message:
        """Return the message whose HttpBody, which must exist by `is_raw`, holds these bytes."""
        message = self.method.response_class()
        part = self.binding.response_body
        target: Any = getattr(message, part) if part else message
        target.content_type, target.data = content_type, body
        return message

    def streamed(self, line: bytes) -> Message:
        """Return the message of one line of a streamed answer; raises StatusError for an error line."""
        try:
            content = parse_json(line)
        except StatusError as error:
            raise self._misfit(error) from error
        if isinstance(content, dict) and content.keys() == {"result"}:
            return self._message(content["result"])
        if isinstance(content, dict) and content.keys() == {"error"}:
            said = error_of_json(500, write_json(content["error"]).encode())
            raise StatusError(said.code, said.message, said.details)
        raise self._misfit(f"a line is neither a result nor an error: {line[:40]!r}")

    def _message(self, content: Any) -> Message:
        message = self.method.response_class()
        part = self.binding.response_body
        try:
            # A newer server may know more than this contract.
            read_answer({part: content} if part else content, message, message.DESCRIPTOR.file.pool)
        except Exception as error:
            raise self._misfit(error) from error
        return message

    def _misfit(self, reason: object) -> StatusError:
        output = self.method.descriptor.output_type.full_name
        return StatusError(Code.INTERNAL, f"the answer is not a {output}: {reason}")


def http_call(method: Method, request: Message, prefix: str = "") -> HttpCall:
    """Return the call in the first binding that can express this message.

    A binding whose path names fields that are set precedes one whose path would name unset ones. Raises StatusError
    UNIMPLEMENTED if none fits.
    """
    for unset_too in (False, True):
        for binding in method.bindings:
            try:
                return _said(method, binding, request, prefix, unset_too)
            except (_Unfit, *_UNSAYABLE):
                continue
    raise StatusError(Code.UNIMPLEMENTED, f"{method} has no HTTP rule that can express this request")


def _said(method: Method, binding: Binding, request: Message, prefix: str, unset_too: bool) -> HttpCall:
    scope = method.descriptor.input_type
    rest = type(request)()
    rest.CopyFrom(request)
    values = [_take(rest, resolve(scope, v.path), unset_too) for v in binding.template.variables]
    path = binding.template.fill(values)
    if path is None:
        raise _Unfit
    body, content_type = _body(binding, scope, rest) if binding.body else (None, JSON)
    query = "" if binding.body == "*" else urlencode(list(_parameters(rest)), quote_via=quote)
    http_method = binding.http_method
    if http_method == ANY_METHOD:
        http_method = "POST" if binding.body else "GET"
    target = f"{prefix}{path}?{query}" if query else prefix + path
    return HttpCall(method, binding, http_method, target, body, content_type)


def _take(rest: Message, fields: Sequence[FieldDescriptor], unset_too: bool) -> str:
    """Return the text of a field, and remove it from the message."""
    *parents, field = fields
    scopes: list[Any] = [rest]
    for parent in parents:
        if not unset_too and not scopes[-1].HasField(parent.name):
            raise _Unfit
        scopes.append(getattr(scopes[-1], parent.name))
    scope = scopes[-1]
    is_set = field in [known for known, _ in scope.ListFields()]
    if not is_set and (not unset_too or field.has_presence):
        # Named in a path, a field with presence would be set.
        raise _Unfit
    text = text_of(field)
    assert text is not None, "checked when the contract was read"
    written = text.write(getattr(scope, field.name))
    scope.ClearField(field.name)
    # Reading the path creates the messages around the field.
    for outer, parent in zip(reversed(scopes[:-1]), reversed(parents), strict=True):
        if not getattr(outer, parent.name).ListFields():
            outer.ClearField(parent.name)
    return written


def _body(binding: Binding, descriptor: Descriptor, rest: Message) -> tuple[bytes | None, str]:
    """Return the body and its type, and remove its fields from the message."""
    names = [] if binding.body == "*" else binding.body.split(".")
    fields = resolve(descriptor, names)
    scope: Any = rest
    for parent in fields[:-1]:
        scope = getattr(scope, parent.name)
    said = scope if not fields else getattr(scope, fields[-1].name)
    if isinstance(said, Message) and said.DESCRIPTOR.full_name == HTTP_BODY:
        body, content_type = said.data, said.content_type  # type: ignore[attr-defined]  # by its full name
    else:
        pool: Any = rest.DESCRIPTOR.file.pool
        content = json_format.MessageToDict(scope, descriptor_pool=pool)
        if fields and fields[-1].json_name not in content:
            return b"", JSON
        body, content_type = write_json(content[fields[-1].json_name] if fields else content).encode(), JSON
    if fields:
        scope.ClearField(fields[-1].name)
    return body, content_type


def _parameters(message: Message, prefix: str = "") -> Iterator[tuple[str, str]]:
    for field, value in message.ListFields():
        name = prefix + field.json_name
        text = text_of(field)
        if map_entry(field) is not None:
            yield from _entries(name, field, value)
        elif text is not None:
            yield from ((name, text.write(each)) for each in (value if field.is_repeated else [value]))
        else:
            no_words = field.is_repeated or field.is_extension or is_well_known(field.message_type)
            inner = [] if no_words else list(_parameters(value, f"{name}."))
            if not inner:
                # A repeated message, an Any, or a message that is set and empty: a query cannot express these.
                raise _Unfit
            yield from inner


def _entries(name: str, field: FieldDescriptor, value: Any) -> Iterator[tuple[str, str]]:
    entry = map_entry(field)
    assert entry is not None
    key_text, value_text = (text_of(entry.fields_by_name[part]) for part in ("key", "value"))
    for key in value:
        if key_text is None or value_text is None or "]" in (written := key_text.write(key)):
            raise _Unfit
        yield f"{name}[{written}]", value_text.write(value[key])
