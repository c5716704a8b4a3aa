"""A registry of a private pool finds that pool's messages, and lets go of their classes."""

from __future__ import annotations

from google.protobuf import descriptor_pb2, descriptor_pool, json_format, message_factory, wrappers_pb2

from mesh.compat.protobuf import forget_classes, symbol_database


def test_a_registry_creates_the_classes_of_its_pool_and_forgets_them_alone() -> None:
    pool = descriptor_pool.DescriptorPool()
    pool.Add(
        descriptor_pb2.FileDescriptorProto(
            name="own.proto", package="own", message_type=[descriptor_pb2.DescriptorProto(name="Colour")]
        )
    )
    symbols = symbol_database(pool)
    colour = message_factory.GetMessageClass(pool.FindMessageTypeByName("own.Colour"))
    symbols.RegisterMessage(colour)
    assert symbols.GetSymbol("own.Colour") is colour
    assert symbols.pool is pool
    others = dict(symbols._classes)
    del others[colour.DESCRIPTOR]
    forget_classes(pool, symbols)
    assert dict(symbols._classes) == others
    # The classes of generated code are still there.
    assert json_format.Parse('"a"', wrappers_pb2.StringValue()).value == "a"
