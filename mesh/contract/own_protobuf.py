"""Messages and descriptors of a service that has another protobuf than mesh: they cross as bytes."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.descriptor import ServiceDescriptor
from google.protobuf.message import Message

from mesh.contract.methods import Method


class OwnMessages:
    """Turns the messages of one method from mesh's into the service's, and its answers into mesh's.

    handler: the service's, which parses and serializes its own.
    """

    def __init__(self, handler: Any) -> None:
        self._parse = handler.request_deserializer
        self._serialize = handler.response_serializer

    def request(self, message: Message) -> Any:
        return self._parse(message.SerializeToString())

    def answer(self, method: Method, answer: Any) -> Message:
        """Return the answer as mesh's message; raises TypeError if it is no answer of the method."""
        kind = method.response_class
        try:
            data = self._serialize(answer)
        except Exception as error:
            raise TypeError(f"{method} returned {type(answer).__name__}, not {kind.__name__}") from error
        return kind.FromString(data)


def own_messages(handler: Any) -> OwnMessages | None:
    """Return what translates for a handler whose messages are not mesh's; None for all others."""
    kind = request_class(handler)
    return None if kind is None or issubclass(kind, Message) else OwnMessages(handler)


def request_class(handler: Any) -> Any:
    """Return the class of the handler's requests, of any protobuf; None if its deserializer is not a FromString."""
    owner = getattr(handler.request_deserializer, "__self__", None)
    return owner if isinstance(owner, type) and hasattr(owner, "DESCRIPTOR") else None


def known_here(service: Any) -> ServiceDescriptor:
    """Return the descriptor as one of mesh's protobuf, if it is another's."""
    if isinstance(service, ServiceDescriptor):
        return service
    files: dict[str, bytes] = {}
    _collect(service.file, files)
    pool, _ = _pool(tuple(files.values()))
    return pool.FindServiceByName(service.full_name)


def _collect(file: Any, files: dict[str, bytes]) -> None:
    """Add the file, and before it those that it imports."""
    for imported in file.dependencies:
        if imported.name not in files:
            _collect(imported, files)
    files[file.name] = file.serialized_pb


@cache
def _pool(files: tuple[bytes, ...]) -> tuple[descriptor_pool.DescriptorPool, object]:
    return separate_pool(map(descriptor_pb2.FileDescriptorProto.FromString, files))


def separate_pool(
    files: Iterable[descriptor_pb2.FileDescriptorProto],
) -> tuple[descriptor_pool.DescriptorPool, object]:
    """Return a pool of these files, each after those that it imports, and its classes; keep both until exit.

    protobuf finds a message's class by a weak reference: while the garbage collector takes a class apart, another
    thread may get it and crash at its first message (seen with protobuf 7.36, in PyUpb_Message_New).
    """
    pool = descriptor_pool.DescriptorPool()
    names = []
    for file in files:
        pool.Add(file)
        names.append(file.name)
    return pool, message_factory.GetMessageClassesForFiles(names, pool)
