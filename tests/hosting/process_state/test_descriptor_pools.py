"""Generated code of services that clash, and of those that do not."""

from __future__ import annotations

import gc
import pickle
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from google.protobuf import json_format, symbol_database

from mesh.hosting.imports.service_code import ServiceCode
from mesh.hosting.isolation import Isolation
from mesh.hosting.load_errors import ServiceImportError
from mesh.service import ServiceContext, current_service_var

if TYPE_CHECKING:
    from tests.hosting.conftest import Write

PROTO = """
    syntax = "proto3";
    package {package};
    import "common.proto";
    import "google/protobuf/any.proto";
    import "google/protobuf/struct.proto";
    import "google/protobuf/timestamp.proto";
    import "google/api/annotations.proto";
    message Thing {{
      int32 id = 1;
      string {field} = 2;
      google.protobuf.Timestamp at = 3;
      google.protobuf.Struct more = 4;
      google.protobuf.Any any = 5;
      Common common = 6;
    }}
    service Things {{ rpc Get(Thing) returns (Thing) {{ option (google.api.http) = {{ get: "/things/{{id}}" }}; }} }}
"""
COMMON = 'syntax = "proto3"; package {package}; message Common {{ string {field} = 1; }}'

APP = """
    from google.protobuf import json_format, timestamp_pb2
    from google.protobuf.struct_pb2 import Struct
    import google.protobuf.any_pb2
    import common_pb2, thing_pb2, thing_pb2_grpc

    def make():
        thing = thing_pb2.Thing(id=1, common=common_pb2.Common())
        thing.at.CopyFrom(timestamp_pb2.Timestamp(seconds=60))
        more = Struct()
        more["a"] = {"b": [1]}
        thing.more.CopyFrom(more)
        packed = google.protobuf.any_pb2.Any()
        packed.Pack(common_pb2.Common({field}="packed"))
        thing.any.CopyFrom(packed)
        return thing

    def as_json():
        text = json_format.MessageToJson(make())
        assert json_format.Parse(text, thing_pb2.Thing()) == make()
        return json_format.MessageToDict(make())
"""

# What protoc 3.19 wrote: no builder, classes made in the module.
OLD = """
    from google.protobuf import message as _message
    from google.protobuf import reflection as _reflection
    from google.protobuf import descriptor_pool as _descriptor_pool
    from google.protobuf import symbol_database as _symbol_database
    _sym_db = _symbol_database.Default()
    DESCRIPTOR = _descriptor_pool.Default().AddSerializedFile({serialized!r})
    _OLD = DESCRIPTOR.message_types_by_name["Old"]
    Old = _reflection.GeneratedProtocolMessageType("Old", (_message.Message,), {{
        "DESCRIPTOR": _OLD, "__module__": "old_pb2"}})
    _sym_db.RegisterMessage(Old)
"""

Live = Callable[..., tuple[ServiceContext, ServiceCode]]


def called(generation: ServiceCode, reference: str) -> Any:
    """Return what the function at that reference returns."""
    return generation.load(reference)()


def pickled(thing: Any) -> Any:
    """Return the copy that pickle makes."""
    return pickle.loads(pickle.dumps(thing))


@pytest.fixture
def live(write: Write) -> Iterator[Live]:
    """`live("user", package=..., field=...)` is a service with its own thing.proto, generated and added."""
    isolation, made = Isolation(lambda *line: None), []

    def service(name: str, *, package: str, field: str, number: int = 1) -> tuple[ServiceContext, ServiceCode]:
        root = write(
            name,
            {
                "app.py": APP.replace("thing_", f"{package}_")
                .replace("common_", f"{package}_c_")
                .replace("{field}", field)
            },
        )
        texts = {f"{package}.proto": PROTO.replace("common.", f"{package}_c."), f"{package}_c.proto": COMMON}
        generate(root, {name: text.format(package=package, field=field) for name, text in texts.items()})
        context = ServiceContext(name, root)
        made.append((context, isolation.add_service(context, {}, [root])))
        return made[-1]

    with isolation:
        yield service
        for each in made:
            isolation.remove_service(*each)


def generate(root: Path, protos: dict[str, str]) -> None:
    import grpc_tools
    from google.api import annotations_pb2
    from grpc_tools import protoc

    for name, text in protos.items():
        (root / name).write_text(text)
    include = [f"-I{root}", f"-I{Path(annotations_pb2.__file__).parents[2]}"]
    include.append(f"-I{Path(grpc_tools.__file__).parent}/_proto")
    names = [str(root / name) for name in protos]
    assert protoc.main(["protoc", *include, f"--python_out={root}", f"--grpc_python_out={root}", *names]) == 0


def within(context: ServiceContext, call: Callable[[], Any]) -> Any:
    token = current_service_var.set(context)
    try:
        return call()
    finally:
        current_service_var.reset(token)


def expected(field: str) -> dict[str, Any]:
    packed = {"@type": "type.googleapis.com/clash.Common", field: "packed"}
    return {"id": 1, "at": "1970-01-01T00:01:00Z", "more": {"a": {"b": [1.0]}}, "any": packed, "common": {}}


def test_services_whose_files_and_messages_clash_each_have_their_own(live: Live) -> None:
    """Timestamp, Struct and Any of each fit into its messages, whatever was imported first."""
    one, two = live("one", package="clash", field="first"), live("two", package="clash", field="second")
    first, second = (within(c, partial(g.load, "app:make")) for c, g in (one, two))
    a, b = within(one[0], first), within(two[0], second)
    assert [field.name for field in a.DESCRIPTOR.fields][1] == "first"
    assert [field.name for field in b.DESCRIPTOR.fields][1] == "second"
    assert a.DESCRIPTOR.file.pool is not b.DESCRIPTOR.file.pool
    assert b.common.DESCRIPTOR.file.pool is b.DESCRIPTOR.file.pool
    for (context, generation), field in ((one, "first"), (two, "second")):
        assert within(context, partial(called, generation, "app:as_json")) == expected(field)
    assert json_format.MessageToDict(b, descriptor_pool=b.DESCRIPTOR.file.pool) == expected("second")


def test_identical_copies_are_one(live: Live) -> None:
    one = live("same-one", package="same", field="x")
    two = live("same-two", package="same", field="x")
    things = [within(c, partial(g.load, "app:same_pb2.Thing")) for c, g in (one, two)]
    assert things[0] is things[1]


def test_messages_of_an_own_pool_can_be_pickled(live: Live) -> None:
    for name, field in (("p-one", "first"), ("p-two", "second")):
        context, generation = live(name, package="pickled", field=field)
        thing = within(context, partial(called, generation, "app:make"))
        assert within(context, partial(pickled, thing)) == thing


def test_two_hundred_changes_of_a_proto_load_and_leave_nothing(write: Write) -> None:
    isolation = Isolation(lambda *line: None)
    registered = 0
    symbols: Any = symbol_database.Default()
    with isolation:
        for number in range(1, 201):
            root = write("changing", {"app.py": "import changing_pb2\nThing = changing_pb2.Thing"})
            (root / "changing_pb2.py").write_text(_generated("changing.proto", f"field_{number}"))
            context = ServiceContext("changing", root)
            generation = isolation.add_service(context, {}, [root])
            thing = within(context, partial(generation.load, "app:Thing"))
            assert [field.name for field in thing.DESCRIPTOR.fields] == [f"field_{number}"]
            isolation.remove_service(context, generation)
            if number == 10:
                registered = len(symbols._classes)
    assert len(symbols._classes) == registered
    del thing, generation, context
    gc.collect()


def test_code_of_an_old_generator_has_its_own_pool_as_well(write: Write) -> None:
    with Isolation(lambda *line: None) as isolation:
        for name in ("one", "two"):
            root = write(name, {"old_pb2.py": OLD.format(serialized=_serialized("old.proto", "Old", name))})
            context = ServiceContext(name, root)
            generation = isolation.add_service(context, {}, [root])
            old = within(context, partial(generation.load, "old_pb2:Old"))
            assert old(**{name: "x"}).SerializeToString() == b"\n\x01x"
            isolation.remove_service(context, generation)


def test_a_clash_between_two_files_of_one_service_is_its_own_mistake(write: Write) -> None:
    root = write("one", {"app.py": "import a_pb2, b_pb2"})
    (root / "a_pb2.py").write_text(_generated("twice.proto", "a"))
    (root / "b_pb2.py").write_text(_generated("twice.proto", "b"))
    context = ServiceContext("one", root)
    generation = ServiceCode(context, [root])
    with pytest.raises(ServiceImportError, match=r"one/b_pb2.py:\d+: TypeError at import: .*twice.proto"):
        within(context, lambda: generation.load("app:a_pb2"))
    generation.close()


def _serialized(file: str, message: str, field: str) -> bytes:
    from google.protobuf import descriptor_pb2

    proto = descriptor_pb2.FileDescriptorProto(name=file, syntax="proto3", package=file.split(".")[0])
    proto.message_type.add(name=message).field.add(name=field, number=1, label=1, type=9)
    return proto.SerializeToString()


def _generated(file: str, field: str) -> str:
    """A generated module as protoc 3.20 and later write it, in short."""
    return (
        "from google.protobuf import descriptor_pool as _descriptor_pool\n"
        "from google.protobuf.internal import builder as _builder\n"
        f"DESCRIPTOR = _descriptor_pool.Default().AddSerializedFile({_serialized(file, 'Thing', field)!r})\n"
        "_builder.BuildMessageAndEnumDescriptors(DESCRIPTOR, globals())\n"
        f"_builder.BuildTopDescriptorsAndMessages(DESCRIPTOR, {file.replace('.proto', '_pb2')!r}, globals())\n"
    )
