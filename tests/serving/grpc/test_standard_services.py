"""Health and reflection: what any gRPC client may ask of every server."""

from __future__ import annotations

import threading
from typing import Any

from mesh.pytest_plugin import Mesh
from tests.serving.misbehaving import GET, Misbehaving, failure
from tests.support.raw_calls import unary


def test_health_says_serving_of_the_whole_and_of_each_service(mesh: Mesh) -> None:
    from grpc_health.v1 import health_pb2, health_pb2_grpc

    stub: Any = health_pb2_grpc.HealthStub(mesh.channel("product-service"))
    for service in ("", "product.ProductService"):
        assert stub.Check(health_pb2.HealthCheckRequest(service=service), timeout=10).status == 1
    unknown = health_pb2.HealthCheckRequest(service="no.Such")
    assert failure(lambda: stub.Check(unknown, timeout=10))[0] == "NOT_FOUND"


def test_health_lists_every_service_if_the_installed_protocol_has_list(mesh: Mesh) -> None:
    from grpc_health.v1 import health_pb2, health_pb2_grpc

    channel = mesh.channel("product-service")
    if hasattr(health_pb2_grpc.HealthServicer, "List"):
        stub: Any = health_pb2_grpc.HealthStub(channel)
        listed = stub.List(vars(health_pb2)["HealthListRequest"](), timeout=10)
        assert sorted(listed.statuses) == ["", "product.ProductService"]
    else:
        call = unary(channel, "/grpc.health.v1.Health/List")
        assert failure(lambda: call(b"", timeout=10))[0] == "UNIMPLEMENTED"


def test_health_says_not_serving_to_those_who_watch_while_calls_are_let_end(bad: Mesh, servicer: Misbehaving) -> None:
    from grpc_health.v1 import health_pb2, health_pb2_grpc

    stub: Any = health_pb2_grpc.HealthStub(bad.channel("user-service"))
    watch = stub.Watch(health_pb2.HealthCheckRequest(), timeout=10)
    assert next(watch).status == health_pb2.HealthCheckResponse.SERVING
    hanging = unary(bad.channel("user-service"), GET).future(b"\x08\x05")
    assert servicer.hanging.acquire(timeout=30)
    stopping = threading.Thread(target=bad.supervisor.stop)
    stopping.start()
    assert next(watch).status == health_pb2.HealthCheckResponse.NOT_SERVING
    servicer.released.set()
    assert hanging.result(timeout=30) == b"\x08\x05"
    assert list(watch) == [], "it was let go, not cut off at the end of the grace"
    stopping.join(30)
    assert not stopping.is_alive()


def test_reflection_lists_the_services_and_describes_their_methods(mesh: Mesh) -> None:
    from google.protobuf import descriptor_pool
    from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

    database = ProtoReflectionDescriptorDatabase(mesh.channel("user-service"))
    assert sorted(database.get_services()) == [
        "grpc.health.v1.Health",
        "grpc.reflection.v1alpha.ServerReflection",
        "user.UserService",
    ]
    service = descriptor_pool.DescriptorPool(database).FindServiceByName("user.UserService")
    assert [method.name for method in service.methods][:3] == ["ListUsers", "GetUser", "CreateUser"]


def test_reflection_answers_under_its_later_name_too(mesh: Mesh) -> None:
    from grpc_reflection.v1alpha import reflection_pb2

    ask = mesh.channel("user-service").stream_stream(
        "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
        request_serializer=reflection_pb2.ServerReflectionRequest.SerializeToString,
        response_deserializer=reflection_pb2.ServerReflectionResponse.FromString,
    )
    request = reflection_pb2.ServerReflectionRequest(list_services="")
    (answer,) = ask(iter([request]), timeout=10)
    assert "user.UserService" in [each.name for each in answer.list_services_response.service]


def test_everything_that_reflection_lists_it_can_describe(mesh: Mesh) -> None:
    from google.protobuf import descriptor_pool
    from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

    for service in ("user-service", "product-service"):
        database = ProtoReflectionDescriptorDatabase(mesh.channel(service))
        pool = descriptor_pool.DescriptorPool(database)
        for name in database.get_services():
            assert pool.FindServiceByName(name).full_name == name
