"""A contract as an OpenAPI 3.1 document, from the rules that serve it.

A variable of several segments is one parameter per wildcard; methods that OpenAPI lacks are left out. A
stream is text of which each line is JSON.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from google.api import field_behavior_pb2
from google.protobuf.descriptor import Descriptor, FieldDescriptor

from mesh.contract.http_rules.segments import MANY, ONE, Wildcard, encode
from mesh.contract.http_rules.template import Template
from mesh.contract.methods import Binding, Contract, Method
from mesh.contract.protojson.fields import AS_JSON, enum_of, field_named, is_well_known, map_entry, resolve, text_of
from mesh.contract.rest.schemas import Schema, Schemas, behavior_of, nullable
from mesh.contract.rest.streaming import EVENTS, NDJSON
from mesh.contract.rest.transcoding import HTTP_BODY, JSON, Endpoint, Location

_METHODS = ("GET", "PUT", "POST", "DELETE", "OPTIONS", "HEAD", "PATCH", "TRACE")
_ERROR: Schema = {
    "type": "object",
    "description": "A google.rpc.Status.",
    "properties": {
        "code": {"type": "integer", "description": "A google.rpc.Code."},
        "message": {"type": "string"},
        "details": {"type": "array", "items": {"type": "object"}},
    },
    "required": ["code", "message", "details"],
}
#: A google.api.HttpBody: any type.
_RAW: Schema = {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}, "*/*": {}}
_ERROR_REF = {"$ref": "#/components/schemas/google.rpc.Status"}


def openapi(
    contract: Contract, *, url: str = "/", comments: Mapping[str, str] | None = None, closed: bool = True
) -> dict[str, Any]:
    """Return the document.

    url: the prefix of the paths. comments: by full name. closed: unknown fields are refused.
    """
    comments = comments or {}
    document = _Document(contract, Schemas(comments, closed), comments)
    paths = document.paths()
    title = ", ".join(name.rpartition(".")[2] for name in contract.services)
    tags = [{"name": name, "description": comments.get(name, "")} for name in contract.services]
    return {
        "openapi": "3.1.0",
        "info": {"title": title or "No service", "version": "1"},
        "servers": [{"url": url or "/"}],
        "tags": tags,
        "paths": paths,
        "components": {"schemas": {"google.rpc.Status": _ERROR, **document.schemas.components}},
    }


class _Document:
    def __init__(self, contract: Contract, schemas: Schemas, comments: Mapping[str, str]) -> None:
        self.schemas = schemas
        self._contract = contract
        self._comments = comments
        #: Two templates that differ only in names are one path; the names are those of the first.
        self._names: dict[str, list[str]] = {}

    def paths(self) -> dict[str, Any]:
        paths: dict[str, Any] = {}
        for method in self._contract:
            for number, binding in enumerate(method.bindings):
                if binding.http_method in _METHODS:
                    path, parameters = self._path(method, binding)
                    operation = self._operation(method, binding, parameters, number)
                    paths.setdefault(path, {})[binding.http_method.lower()] = operation
        return paths

    def _path(self, method: Method, binding: Binding) -> tuple[str, list[Any]]:
        """Return the path, and its parameters."""
        wildcards = list(_wildcards(binding.template))
        shape = _written(binding.template, [""] * len(wildcards))
        names = self._names.setdefault(shape, [name for name, _, _ in wildcards])
        parameters = [
            self._path_parameter(method, name, variable, many)
            for name, (_, variable, many) in zip(names, wildcards, strict=True)
        ]
        return _written(binding.template, names), parameters

    def _path_parameter(self, method: Method, name: str, variable: tuple[str, ...], many: bool) -> Schema:
        parameter: Schema = {"name": name, "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}
        if many:
            parameter["description"] = "Any number of segments."
        elif variable:
            field = resolve(method.descriptor.input_type, variable)[-1]
            schema = self.schemas.field(field)
            parameter["schema"] = {**schema, "minLength": 1} if schema.get("type") == "string" else schema
        return parameter

    def _operation(self, method: Method, binding: Binding, parameters: list[Any], number: int) -> Schema:
        comment = self._comments.get(method.full_name, "")
        summary, _, rest = comment.partition("\n\n")
        operation: Schema = {
            "operationId": _operation_id(method, number),
            "tags": [method.service],
            "summary": summary.replace("\n", " ") or method.name,
            "parameters": [*parameters, *self._query_parameters(method, binding)],
            "responses": self._responses(method, binding),
        }
        if rest:
            operation["description"] = rest
        if method.descriptor.GetOptions().deprecated:
            operation["deprecated"] = True
        if binding.body:
            operation["requestBody"] = {"content": self._request_content(method, binding)}
        return operation

    def _query_parameters(self, method: Method, binding: Binding) -> list[Schema]:
        if binding.body == "*":
            return []
        bound = [variable.path for variable in binding.template.variables]
        bound += [tuple(field.name for field in _body_fields(method, binding))] if binding.body else []
        return list(self._parameters(method.descriptor.input_type, [], bound))

    def _parameters(
        self, descriptor: Descriptor, outer: list[FieldDescriptor], bound: list[tuple[str, ...]]
    ) -> Iterator[Schema]:
        for field in descriptor.fields:
            path, message = [*outer, field], field.message_type
            if tuple(each.name for each in path) in bound or map_entry(field) is not None:
                continue
            if text_of(field) is not None:
                if field_behavior_pb2.OUTPUT_ONLY not in behavior_of(field):
                    yield self._query_parameter(path)
            elif message is None or is_well_known(message):
                continue
            elif not field.is_repeated and not _holds(path, message):
                yield from self._parameters(message, path, bound)

    def _query_parameter(self, path: list[FieldDescriptor]) -> Schema:
        field, name = path[-1], ".".join(each.json_name for each in path)
        schema = self.schemas.field(field)
        if schema.get("type") == "null":
            schema = {"type": "string", "enum": [value.name for value in enum_of(field).values]}
        elif field.message_type is not None and field.message_type.full_name in AS_JSON:
            schema = {"type": "string", "contentMediaType": JSON}
        parameter: Schema = {"name": name, "in": "query", "schema": schema}
        if len(path) == 1 and field_behavior_pb2.REQUIRED in behavior_of(field):
            parameter["required"] = True
        return parameter

    def _request_content(self, method: Method, binding: Binding) -> Schema:
        fields = _body_fields(method, binding)
        shown = fields[-1].message_type if fields else method.descriptor.input_type
        if shown is not None and shown.full_name == HTTP_BODY:
            return dict(_RAW)
        in_path = {variable.name for variable in binding.template.variables if len(variable.path) == 1}
        schema = self.schemas.field(fields[-1]) if fields else self.schemas.body(method.descriptor.input_type, in_path)
        return {NDJSON: {"schema": _lines(schema)}} if method.client_streaming else {JSON: {"schema": schema}}

    def _responses(self, method: Method, binding: Binding) -> Schema:
        location = Location.of(self._contract, Endpoint(method, binding))
        answer: Schema = {"description": "The answer.", "content": self._response_content(method, binding)}
        if location is not None:
            answer["headers"] = {"Location": {"schema": {"type": "string"}}}
            if link := self._link(location):
                answer["links"] = {location.get.name: link}
        error = {"description": "An error.", "content": {JSON: {"schema": _ERROR_REF}}}
        return {"200" if location is None else "201": answer, "default": error}

    def _link(self, location: Location) -> Schema | None:
        """Return the link to what a create has made, or None if a variable is not exactly one parameter of the path."""
        get, binding = location.get, location.binding
        if any(binding.template.pattern_of(variable) != (ONE,) for variable in binding.template.variables):
            return None
        output = location.created.descriptor.output_type
        fields = (resolve(output, variable.path) for variable in binding.template.variables)
        pointers = ["/".join(field.json_name for field in path) for path in fields]
        names = [parameter["name"] for parameter in self._path(get, binding)[1]]
        return {
            "operationId": _operation_id(get, get.bindings.index(binding)),
            "parameters": {name: f"$response.body#/{pointer}" for name, pointer in zip(names, pointers, strict=True)},
        }

    def _response_content(self, method: Method, binding: Binding) -> Schema:
        output = method.descriptor.output_type
        part = field_named(output, binding.response_body) if binding.response_body else None
        shown = part.message_type if part is not None and not part.is_repeated else output if part is None else None
        if shown is not None and shown.full_name == HTTP_BODY:
            return dict(_RAW)
        schema = self.schemas.message(output) if part is None else self.schemas.field(part)
        if part is not None and part.has_presence:
            schema = nullable(schema)
        if not method.server_streaming:
            return {JSON: {"schema": schema}}
        line = {"oneOf": [_only("result", schema), _only("error", _ERROR_REF)]}
        return {NDJSON: {"schema": _lines(line)}, EVENTS: {"schema": {"type": "string"}}}


def _operation_id(method: Method, number: int) -> str:
    return f"{method.service}.{method.name}" + (f".{number + 1}" if number else "")


def _lines(schema: Schema) -> Schema:
    """Return text of which each line is JSON of this schema."""
    return {
        "type": "string",
        "description": "A line of JSON for each message.",
        "contentMediaType": NDJSON,
        "contentSchema": schema,
    }


def _holds(path: list[FieldDescriptor], message: Descriptor) -> bool:
    """Return True if the path already leads through a message of this type."""
    scopes = (field.containing_type for field in path)
    return any(scope is not None and scope.full_name == message.full_name for scope in scopes)


def _only(name: str, schema: Schema) -> Schema:
    return {"type": "object", "properties": {name: schema}, "required": [name]}


def _body_fields(method: Method, binding: Binding) -> list[FieldDescriptor]:
    return [] if binding.body == "*" else resolve(method.descriptor.input_type, binding.body.split("."))


def _wildcards(template: Template) -> Iterator[tuple[str, tuple[str, ...], bool]]:
    """Yield each wildcard's name, the path of the variable that consists of it, and whether it spans segments.

    A name is the variable's with underscores for its dots, which common generators of clients do not take.
    """
    taken: set[str] = set()
    covered: dict[int, tuple[str, tuple[str, ...]]] = {}
    for variable in template.variables:
        pattern = template.pattern_of(variable)
        places = [variable.start + i for i, segment in enumerate(pattern) if isinstance(segment, Wildcard)]
        for number, place in enumerate(places, 1):
            name = "_".join(variable.path) + (f"_{number}" if len(places) > 1 else "")
            covered[place] = name, variable.path if len(pattern) == 1 else ()
    for place, segment in enumerate(template.segments):
        if isinstance(segment, Wildcard):
            name, path = covered.get(place, (f"segment_{place + 1}", ()))
            while name in taken:
                name += "_"
            taken.add(name)
            yield name, path, segment is MANY


def _written(template: Template, names: list[str]) -> str:
    left = list(names)
    parts = (f"{{{left.pop(0)}}}" if isinstance(s, Wildcard) else encode(s) for s in template.segments)
    return "/" + "/".join(parts) + (f":{encode(template.verb)}" if template.verb else "")
