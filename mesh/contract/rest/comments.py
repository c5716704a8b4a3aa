"""The comments of .proto files, by the full name of the element they describe."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from google.protobuf import descriptor_pb2

# Field numbers of descriptor.proto, which make up a location's path.
_MESSAGES, _ENUMS, _SERVICES = 4, 5, 6
_FIELDS, _NESTED, _NESTED_ENUMS = 2, 3, 4
_VALUES, _METHODS = 2, 2


def comments_of(descriptors: bytes) -> Mapping[str, str]:
    """Return leading comments, else trailing ones, of a serialized FileDescriptorSet with source info."""
    files = descriptor_pb2.FileDescriptorSet.FromString(descriptors).file
    return {name: text for file in files for name, text in _of_file(file) if text}


def _of_file(file: descriptor_pb2.FileDescriptorProto) -> Iterator[tuple[str, str]]:
    said = {
        tuple(location.path): (location.leading_comments or location.trailing_comments).strip()
        for location in file.source_code_info.location
    }
    for path, name in _named(file):
        yield name, "\n".join(line.strip() for line in said.get(tuple(path), "").split("\n"))


def _named(file: descriptor_pb2.FileDescriptorProto) -> Iterator[tuple[Sequence[int], str]]:
    scope = f"{file.package}." if file.package else ""
    for index, message in enumerate(file.message_type):
        yield from _in_message([_MESSAGES, index], scope + message.name, message)
    for index, enum in enumerate(file.enum_type):
        yield from _of(_VALUES, [_ENUMS, index], scope + enum.name, enum.value)
    for index, service in enumerate(file.service):
        yield from _of(_METHODS, [_SERVICES, index], scope + service.name, service.method)


def _in_message(path: list[int], name: str, message: Any) -> Iterator[tuple[Sequence[int], str]]:
    yield from _of(_FIELDS, path, name, message.field)
    for index, nested in enumerate(message.nested_type):
        yield from _in_message([*path, _NESTED, index], f"{name}.{nested.name}", nested)
    for index, enum in enumerate(message.enum_type):
        yield from _of(_VALUES, [*path, _NESTED_ENUMS, index], f"{name}.{enum.name}", enum.value)


def _of(number: int, path: list[int], name: str, members: Sequence[Any]) -> Iterator[tuple[Sequence[int], str]]:
    """Yield the comments of an element and its members."""
    yield path, name
    for index, member in enumerate(members):
        yield [*path, number, index], f"{name}.{member.name}"
